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
	joined ??= connect(options).then((session) => {
		session.on("close", () => (joined = undefined));
		return session;
	});
	joined.catch(() => (joined = undefined)); // another try is another connection
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
		display.innerHTML = `<div class="initgrace">${trial.stimulus}<p class="initgrace-status" role="status" aria-live="polite"></p></div>`;
		const root = display.querySelector(".initgrace");
		const status = display.querySelector(".initgrace-status");
		const element = customElements.get("initgrace-progress") && document.createElement("initgrace-progress");
		if (element) root.append(element);
		onLoad?.();
		const data = { ok: false, protected: false, error_code: null, error: null, attempts: 0, wait_ms: null, load_ms: null, blocked_ms: null, longest_block_ms: null };
		for (;;) {
			data.attempts++;
			try {
				Object.assign(data, { error_code: null, error: null }, await this.load(trial, element, status), { ok: true });
				break;
			} catch (err) {
				Object.assign(data, { error_code: err.code ?? null, error: String(err.message ?? err) });
				if (data.attempts > trial.retries) break;
				status.textContent = data.error;
				await this.pressed(root, trial.retry_label);
			}
		}
		for (const key of ["wait_ms", "load_ms", "blocked_ms", "longest_block_ms"]) {
			if (data[key] !== null) data[key] = Math.round(data[key]);
		}
		data.rt = Math.round(performance.now() - began);
		display.innerHTML = "";
		this.jsPsych.finishTrial(data);
	}

	async load(trial, element, status) {
		status.textContent = "Connecting …";
		const { packages, init, unprotected } = trial;
		const options = { packages, unprotected, ...(init && { init }), ...trial.options };
		let session;
		try {
			session = await (trial.session ?? join(trial.connect ?? {}));
		} catch (err) {
			if (!unprotected || !AWAY.includes(err.code)) throw err;
			return this.alone({ url: trial.connect?.url, ...options }, element, status, err);
		}
		if (element) element.session = session;
		status.textContent = element ? "" : "Starting Python …";
		const remove = session.on("progress", (progress) => element || says(status, progress));
		try {
			const python = await session.loadPyodide(options);
			this.jsPsych.initgrace = { session, python };
			const load = session.lastLoad;
			return {
				protected: load.protected, wait_ms: load.waitMs, load_ms: load.tookMs,
				blocked_ms: load.blockedMs, longest_block_ms: load.longestBlockMs,
			};
		} finally {
			remove();
		}
	}

	// alone is without a server.
	async alone(options, element, status, why) {
		const began = performance.now();
		status.textContent = element ? "" : "Starting Python …";
		const python = await loadUnprotected({
			...options,
			onProgress: (progress) => {
				element ? element.show(progress) : says(status, progress);
				options.onProgress?.(progress);
			},
		});
		this.jsPsych.initgrace = { session: undefined, python };
		return { protected: false, error_code: why.code, error: why.message, load_ms: performance.now() - began };
	}

	// pressed shows a button and waits for it.
	pressed(root, label) {
		return new Promise((resolve) => {
			const button = Object.assign(document.createElement("button"), { className: "jspsych-btn", textContent: label });
			button.addEventListener("click", () => { button.remove(); resolve(); });
			root.append(button);
		});
	}

	/** jsPsych's simulation mode: no Python is started. */
	simulate(trial, mode, options, onLoad) {
		onLoad?.();
		this.jsPsych.finishTrial({ ok: true, protected: false, attempts: 1, simulated: true, rt: 0, ...options?.data });
	}
}

const says = (status, { phase, fraction }) => (status.textContent = `${phase}${fraction > 0 ? ` ${Math.round(100 * fraction)} %` : ""}`);
