// Pyodide under a lease: the downloads, the interpreter, the packages, and what
// the page does with them at first.

import { fault, report, text } from "../errors.js";
import { Estimate } from "./estimate.js";
import { plan } from "./plan.js";
import { startPyodide } from "./start.js";

const defaults = {
	stallMs: 30_000, // of a download
};

const ACK_MS = 2000;

let interpreter; // Promise of the one on this page

/**
 * Session.loadPyodide. There is one interpreter on a page.
 * @param {object} link the way to the server: its url, lease(options, run) and emitLocal(event, data)
 */
export function loadPyodide(link, options) {
	interpreter ??= start(link, { ...defaults, ...options }).catch((err) => {
		interpreter = undefined; // another try is another load
		throw err;
	});
	return interpreter;
}

async function start(link, o) {
	o.signal?.throwIfAborted();
	const setup = await plan(link.url, o);
	const packages = [o.packages ?? []].flat();
	const place = o.worker ? "worker" : "page";
	const estimate = new Estimate([place, setup.version ?? setup.indexURL, ...packages.toSorted()]);
	const stages = new Stages(link, o, estimate.ms ?? o.expectedMs);
	stages.tell({ phase: "announced" });
	const lease = { ...o, id: "pyodide", phase: o.phase ?? "downloading", expectedMs: stages.expectedMs };
	try {
		const pyodide = await link.lease(lease, async (progress) => {
			stages.begin(progress);
			const start = o.worker ? await inWorker() : startPyodide;
			const pyodide = await start(setup, packages, o, stages);
			if (o.init) {
				await stages.enter({ phase: "init" }, o.initPhase ?? "init");
				await o.init(pyodide);
			}
			return pyodide;
		});
		if (!o.loadPyodide) estimate.learn(stages.elapsed);
		stages.tell({ phase: "ready", fraction: 1 });
		return pyodide;
	} catch (err) {
		stages.tell({ phase: "failed", code: err?.code, message: String(err?.message ?? err) });
		throw err;
	}
}

const inWorker = () =>
	import("./remote.js").then((remote) => remote.startInWorker, (err) => {
		throw fault("worker_failed", `pyodide/remote.js, for Pyodide in a worker, could not be loaded: ${text(err)}`, err);
	});

// Stages tell the page and the server how far a load is.
class Stages {
	constructor(link, { onProgress }, expectedMs) {
		this.link = link;
		this.onProgress = onProgress;
		this.expectedMs = expectedMs;
	}

	begin(progress) {
		this.progress = progress;
		this.began = performance.now();
		this.told = this.began; // when the server heard of it last
	}

	get elapsed() {
		return this.began === undefined ? 0 : performance.now() - this.began;
	}

	downloaded(bytes) {
		if (this.phase === "packages") this.tell({ ...this.last, ...bytes, fraction: this.last.fraction });
		else if (["announced", "downloading"].includes(this.phase)) this.tell({ phase: "downloading", ...bytes });
	}

	get phase() {
		return this.last?.phase;
	}

	// tell tells the page.
	tell(stage) {
		this.last = stage;
		const now = { ...stage, elapsedMs: this.elapsed, expectedMs: this.expectedMs };
		this.link.emitLocal("progress", now);
		try {
			this.onProgress?.(now);
		} catch (err) {
			report(err);
		}
	}

	// enter tells the server too, and waits for its ack: what follows blocks. But
	// not for long: without a connection the load goes on all the same.
	async enter(stage, phase) {
		this.tell(stage);
		const late = new Promise((resolve) => setTimeout(resolve, ACK_MS));
		await Promise.all([Promise.race([this.#send(phase, stage.fraction), late]), painted()]);
	}

	// pass is for between two blocks: it does not wait, and tells the server
	// no oftener than it can use.
	pass(stage, phase) {
		this.tell(stage);
		if (performance.now() - this.told >= 1000) void this.#send(phase, stage.fraction);
	}

	#send(phase, fraction = 0) {
		this.told = performance.now();
		const left = this.expectedMs ? Math.max(1000, this.expectedMs - this.elapsed) : 0;
		return this.progress(phase, fraction, left).catch(() => {}); // a lease that is over changes nothing here
	}
}

// painted resolves when what was changed before is on the screen, and its
// animations with it. A hidden page paints nothing and is not waited for.
const painted = () =>
	new Promise((resolve) => {
		if (globalThis.document?.visibilityState !== "visible") return resolve();
		requestAnimationFrame(() => requestAnimationFrame(resolve));
		setTimeout(resolve, 100);
	});
