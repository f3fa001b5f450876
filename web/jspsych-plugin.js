// A jsPsych trial that starts Python under grace: it connects, if the study has
// not, shows how far the load is, and ends when Python is there. Every later
// trial finds it in jsPsych.initgrace.
//
//	import InitgracePyodide from "/initgrace/jspsych-plugin.js";
//	const python = {
//		type: InitgracePyodide,
//		connect: () => ({ participant: jsPsych.data.getURLVariable("PROLIFIC_PID") }),
//		packages: ["numpy"],
//	};
//
// It is written against jsPsych 8, and works with its bundle as with its module.

import { connect, loadUnprotected } from "./loader.js";

// Why there is no connection, if it is not the server that refuses one.
const AWAY = ["unreachable", "wasm_unavailable", "worker_unavailable", "crashed"];

let joined; // Promise of the session that trials have opened, until it ends

function join(options) {
	const forget = () => (joined = undefined); // another try is another connection
	if (!joined) {
		joined = connect(options);
		joined.then((session) => session.on("close", forget), forget);
	}
	return joined;
}

// jsPsych's ParameterType; its module is not imported, so that one copy is on
// the page however that loads it.
const STRING = 1;
const INT = 2;
const FUNCTION = 4;
const HTML = 8;
const OBJECT = 12;
const BOOL = 0;

const info = {
	name: "initgrace-pyodide",
	version: "0.1.0",
	parameters: {
		/** A session, or a promise of one; null: that of an earlier trial, or connect. */
		session: { type: OBJECT, default: null },
		/** Options of connect(). */
		connect: { type: OBJECT, default: null },
		/** Packages to install. */
		packages: { type: STRING, array: true, default: [] },
		/** Called with Pyodide, still under the lease. */
		init: { type: FUNCTION, default: null },
		/** Further options of session.loadPyodide(). */
		options: { type: OBJECT, default: {} },
		/** Shown above the progress. */
		stimulus: { type: HTML, default: "<p>Python is starting. The page may stand still for a while: please wait.</p>" },
		/** On the button that is there after a failure. */
		retry_label: { type: STRING, default: "Try again" },
		/** How often the participant may try again; then the trial ends with an error in its data. */
		retries: { type: INT, default: 3 },
		/** Does Python start without a server? It is then unprotected, and the data say so. */
		unprotected: { type: BOOL, default: true },
	},
	data: {
		/** Python is there. */
		ok: { type: BOOL },
		/** The server granted a lease before the page could freeze. */
		protected: { type: BOOL },
		/** Code and text of what went wrong last, or of why no server protects the load; null: nothing. */
		error_code: { type: STRING },
		error: { type: STRING },
		/** How often it was tried. */
		attempts: { type: INT },
		/** Milliseconds, as in LoadResult: to the ack, the load, the page's blocks in all, the longest one. */
		wait_ms: { type: INT },
		load_ms: { type: INT },
		blocked_ms: { type: INT },
		longest_block_ms: { type: INT },
		/** The whole trial. */
		rt: { type: INT },
	},
};

export default class InitgracePyodide {
	static info = info;

	constructor(jsPsych) {
		this.jsPsych = jsPsych;
	}

	async trial(display, trial, onLoad) {
		const began = performance.now();
		display.innerHTML = `<div class="initgrace">${trial.stimulus}</div>`;
		const View = customElements.get("initgrace-progress") ? ElementView : TextView;
		const view = new View(display.querySelector(".initgrace"), trial.retry_label);
		onLoad?.();
		const data = { ok: false, protected: false, error_code: null, error: null, attempts: 0, wait_ms: null, load_ms: null, blocked_ms: null, longest_block_ms: null };
		const failed = ({ code = null, message }) => Object.assign(data, { error_code: code, error: message });
		for (let ended; !ended; ) {
			data.attempts++;
			try {
				Object.assign(data, { error_code: null, error: null }, await this.load(trial, view), { ok: true });
				break;
			} catch (err) {
				failed(err instanceof Error ? err : { message: String(err) });
			}
			if (data.attempts > trial.retries) break;
			view.show({ phase: "failed", code: data.error_code, message: data.error });
			ended = await Promise.race([view.again(), this.ended]);
			if (ended) failed(ended);
		}
		view.follow(undefined);
		for (const key of ["wait_ms", "load_ms", "blocked_ms", "longest_block_ms"]) {
			if (data[key] !== null) data[key] = Math.round(data[key]);
		}
		data.rt = Math.round(performance.now() - began);
		display.innerHTML = "";
		this.jsPsych.finishTrial(data);
	}

	async load(trial, view) {
		view.show({ phase: "connecting" });
		this.ended = new Promise(() => {});
		const { packages, init, unprotected } = trial;
		const options = { packages, unprotected, ...(init && { init }), ...trial.options };
		let session;
		try {
			session = await (trial.session ?? join(trial.connect ?? {}));
		} catch (err) {
			if (!unprotected || !AWAY.includes(err.code)) throw err;
			return this.alone({ url: trial.connect?.url, ...options }, view, err);
		}
		this.ended = new Promise((resolve) => session.on("close", resolve));
		view.follow(session);
		const python = await session.loadPyodide(options);
		this.jsPsych.initgrace = { session, python };
		const load = session.lastLoad; // none of this session's if Python was there before
		return load ? {
			protected: load.protected, wait_ms: load.waitMs, load_ms: load.tookMs,
			blocked_ms: load.blockedMs, longest_block_ms: load.longestBlockMs,
		} : {};
	}

	// alone is without a server.
	async alone(options, view, why) {
		const began = performance.now();
		const python = await loadUnprotected({
			...options,
			onProgress: (progress) => {
				view.show(progress);
				options.onProgress?.(progress);
			},
		});
		this.jsPsych.initgrace = { session: undefined, python };
		return { protected: false, error_code: why.code, error: why.message, load_ms: performance.now() - began };
	}

	/** jsPsych's simulation mode: no Python is started. */
	simulate(trial, mode, options, onLoad) {
		onLoad?.();
		this.jsPsych.finishTrial({ ok: true, protected: false, attempts: 1, simulated: true, rt: 0, ...options?.data });
	}
}

// A view shows how far the trial is, and asks for another try: the progress
// element if the study has imported it, else words.
class ElementView {
	constructor(root, label) {
		this.element = document.createElement("initgrace-progress");
		this.element.strings = { retry: label };
		root.append(this.element);
	}

	follow(session) {
		this.element.session = session;
	}

	show(progress) {
		this.element.show(progress);
	}

	again() {
		return new Promise((resolve) => this.element.addEventListener("retry", () => resolve(), { once: true }));
	}
}

class TextView {
	constructor(root, label) {
		this.root = root;
		this.label = label;
		this.status = Object.assign(document.createElement("p"), { className: "initgrace-status", role: "status" });
		root.append(this.status);
	}

	follow(session) {
		this.remove?.();
		this.remove = session?.on("progress", (progress) => this.show(progress));
	}

	show({ phase, fraction, message }) {
		this.status.textContent = phase === "failed" ? message : `${phase} …${fraction > 0 ? ` ${Math.round(100 * fraction)} %` : ""}`;
	}

	again() {
		return new Promise((resolve) => {
			const button = Object.assign(document.createElement("button"), { className: "jspsych-btn", textContent: this.label });
			button.addEventListener("click", () => { button.remove(); resolve(); });
			this.root.append(button);
		});
	}
}
