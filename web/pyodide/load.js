// Pyodide under a lease: the downloads, the interpreter, the packages, and what
// the page does with them at first.

import { fault, report, text } from "../errors.js";
import { unlessAborted } from "./abort.js";
import { Estimate } from "./estimate.js";
import { plan } from "./plan.js";
import { addPackages, startPyodide } from "./start.js";

const STALL_MS = 30_000; // of a download
const ACK_MS = 2000;

let interpreter; // {promise, signal, there}: the one on this page, once it is loaded for good
let ahead; // what preload has begun, or an earlier try left: a load joins it

/**
 * Session.loadPyodide. There is one interpreter on a page.
 * @param {object} link the way to the server: its url, lease(options, run) and emitLocal(event, data)
 */
export function loadPyodide(link, options) {
	const before = interpreter;
	const givenUp = before && !before.there && before.signal?.aborted;
	if (before && !givenUp) return before.promise;
	const mine = (interpreter = { signal: options.signal });
	const load = async () => {
		await before?.promise.catch(() => {}); // it is on its way to its end
		try {
			const o = complete(options);
			const python = await (ahead ? ahead.join(link, o) : start(link, o));
			mine.there = true;
			return python;
		} catch (err) {
			if (interpreter === mine) interpreter = undefined; // another try is another load
			throw err;
		}
	};
	return (mine.promise = load());
}

const complete = (options) => ({ ...options, stallMs: options.stallMs ?? STALL_MS });

/** Session.preload: everything that loadPyodide does, but a later call can add to it. */
export async function preload(link, options) {
	if (!interpreter) await (ahead ??= new Ahead(link, complete(options))).done;
	else await interpreter.promise;
}

/** prefetch lets the browser download Pyodide before anybody asks for it. */
export async function prefetch(server, options) {
	const { indexURL, options: { lockFileURL }, compiled } = await plan(server, { ...options });
	const at = (name) => indexURL + name;
	const data = [at("pyodide.asm.wasm"), compiled?.url ?? at("python_stdlib.zip"), lockFileURL ?? at("pyodide-lock.json")];
	for (const href of [at("pyodide.mjs"), at("pyodide.asm.mjs"), ...data]) {
		const script = href.endsWith(".mjs");
		document.head.append(Object.assign(document.createElement("link"), {
			rel: script ? "modulepreload" : "preload", href, fetchPriority: "low", ...(!script && { as: "fetch", crossOrigin: "anonymous" }),
		}));
	}
}

// What preload has begun. A load that comes before its lease is over goes on
// under that one; else under another, if there is anything left to do.
class Ahead {
	constructor(link, o) {
		this.o = o;
		this.hearers = [o.onProgress];
		this.over = start(link, o, this);
		this.done = this.over.then(() => {}, (err) => {
			if (this.python) return; // what a load added to it went wrong
			if (ahead === this) ahead = undefined;
			throw err;
		});
		this.done.catch(() => {}); // told to whoever waits
	}

	async join(link, o) {
		if (Boolean(o.worker) !== Boolean(this.o.worker)) {
			throw fault("invalid_payload", `loadPyodide: preload has started Python ${this.o.worker ? "in a worker" : "on the page"}. Say worker: ${Boolean(this.o.worker)}`);
		}
		if (!this.closed) {
			this.hearers.push(o.onProgress);
			this.more = async (stages) => {
				o.signal?.throwIfAborted();
				await this.#add(o, stages);
			};
			return unlessAborted(o.signal, this.over);
		}
		if (this.#missing(o).length || o.init) {
			const stages = new Stages(link, [o.onProgress], o.expectedMs);
			await under(link, o, stages, o.initPhase ?? "init", () => this.#add(o, stages));
		}
		return this.python;
	}

	#missing(o) {
		return list(o.packages).filter((name) => !list(this.o.packages).includes(name));
	}

	async #add(o, stages) {
		const packages = this.#missing(o);
		if (packages.length) await this.engine.add(this.python, this.setup, packages, o, stages);
		await initialize(this.python, o, stages);
	}
}

const list = (packages) => [packages ?? []].flat();

async function start(link, o, ahead) {
	o.signal?.throwIfAborted();
	const setup = await plan(link.url, o);
	const packages = list(o.packages);
	const place = o.worker ? "worker" : "page";
	const estimate = new Estimate([place, setup.version ?? setup.indexURL, ...packages.toSorted()]);
	const stages = new Stages(link, ahead?.hearers ?? [o.onProgress], estimate.ms ?? o.expectedMs);
	let took;
	const pyodide = await under(link, o, stages, o.phase ?? "downloading", async () => {
		const engine = o.worker ? await inWorker() : { start: startPyodide, add: addPackages };
		const pyodide = await engine.start(setup, packages, { ...o, ended }, stages);
		try {
			await initialize(pyodide, o, stages);
		} catch (err) {
			if (o.worker) pyodide.terminate(); // nobody will have it
			throw err;
		}
		took = stages.elapsed;
		if (ahead) {
			Object.assign(ahead, { engine, setup, python: pyodide });
			try {
				await ahead.more?.(stages);
			} finally {
				ahead.closed = true;
			}
		}
		return pyodide;
	});
	if (!o.loadPyodide) estimate.learn(took);
	return pyodide;
}

// ended is told of an interpreter that is no more: the next load starts another.
function ended() {
	interpreter = ahead = undefined;
}

let leases = 0; // each has an id of its own

// under runs a part of the start under a lease.
async function under(link, o, stages, phase, run) {
	stages.tell({ phase: "announced" });
	try {
		const value = await link.lease({ ...o, id: `pyodide-${++leases}`, phase, expectedMs: stages.expectedMs }, (progress) => {
			o.signal?.throwIfAborted();
			stages.begin(progress);
			return run();
		});
		stages.tell({ phase: "ready", fraction: 1 });
		return value;
	} catch (err) {
		stages.tell({ phase: "failed", code: err?.code, message: String(err?.message ?? err) });
		throw err;
	}
}

async function initialize(pyodide, o, stages) {
	if (!o.init) return;
	await stages.enter({ phase: "init" }, o.initPhase ?? "init");
	o.signal?.throwIfAborted();
	await unlessAborted(o.signal, o.init(pyodide));
}

const inWorker = () =>
	import("./remote.js").catch((err) => {
		throw fault("worker_failed", `pyodide/remote.js, for Pyodide in a worker, could not be loaded: ${text(err)}`, err);
	});

// Stages tell the page and the server how far a load is.
class Stages {
	constructor(link, hearers, expectedMs) {
		this.link = link;
		this.hearers = hearers;
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
		for (const hear of this.hearers) {
			try {
				hear?.(now);
			} catch (err) {
				report(err);
			}
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
