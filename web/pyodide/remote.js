// Pyodide in a worker of its own, as the page sees it: every part of it is
// there, and every answer is a promise (comlink).

import { Ending } from "../ending.js";
import { fault, text } from "../errors.js";
import { whenGone } from "../lifeline.js";
import { proxy, transferHandlers, wrap } from "../vendor/comlink.js";
import { unlessAborted } from "./abort.js";

transferHandlers.set("python", {
	canHandle: () => false, // a page has no Python objects
	deserialize: ({ value, callable }) => (callable ? wrap(callable) : value),
});

const remotes = new WeakMap(); // a Pyodide as the page has it → what comlink makes of its worker

/** As startPyodide in start.js, with Pyodide in a worker. o.ended is called when that is no more. */
export async function start(setup, packages, o, stages) {
	o.signal?.throwIfAborted();
	if (o.loadPyodide) throw fault("invalid_payload", "loadPyodide: a worker cannot run the page's own loadPyodide");
	let worker;
	try {
		worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
	} catch (err) {
		throw fault("worker_failed", `loadPyodide: there can be no worker: ${text(err)}`, err);
	}
	const ending = new Ending();
	let started;
	const end = (err) => {
		if (ending.reason) return;
		worker.terminate();
		ending.come(err);
		if (started) o.ended();
	};
	worker.onerror = (e) => {
		if (started) return; // an exception in a callback of the page's Python, which lives
		e.preventDefault?.();
		end(fault("worker_failed", `the worker of Pyodide does not run: ${e.message || "its script could not be loaded"}`));
	};
	const abort = () => end(o.signal.reason);
	o.signal?.addEventListener("abort", abort);
	try {
		const remote = wrap(worker);
		const told = (name) => {
			whenGone(name, () => end(fault("worker_failed", "the worker of Pyodide has ended, perhaps because memory ran out. Load Pyodide again")));
		};
		const failure = await ending.race(remote.start(setup, wheels(packages), plain(o), hearing(stages), proxy(told)));
		if (failure) throw fault(failure.code, failure.message);
		const python = guard(await ending.race(remote.python()), ending, () => end(fault("closed", "terminate() was called")));
		remotes.set(python, { remote, ending });
		started = true;
		return python;
	} catch (err) {
		end(err);
		if (err?.name === "DataCloneError") throw fault("invalid_payload", `loadPyodide: options for a worker must be plain data: ${text(err)}`, err);
		throw err;
	} finally {
		o.signal?.removeEventListener("abort", abort);
	}
}

/** As addPackages in start.js. */
export async function add(python, setup, packages, o, stages) {
	const { remote, ending } = remotes.get(python);
	const giveUp = () => void remote.giveUp();
	o.signal?.addEventListener("abort", giveUp);
	try {
		const adding = remote.add(setup, wheels(packages), plain(o), hearing(stages));
		const failure = await unlessAborted(o.signal, ending.race(adding));
		if (failure) throw fault(failure.code, failure.message);
	} finally {
		o.signal?.removeEventListener("abort", giveUp);
	}
}

const wheels = (packages) => packages.map((name) => (/\.whl$/.test(name) ? new URL(name, globalThis.location?.href).href : name));

const plain = ({ stallMs, phase, packagesPhase, options }) => ({ stallMs, phase, packagesPhase, options });

const hearing = (stages) =>
	proxy({
		downloaded: (bytes) => stages.downloaded(bytes),
		tell: (stage) => stages.tell(stage),
		enter: (stage, phase) => stages.enter(stage, phase),
		pass: (stage, phase) => stages.pass(stage, phase),
	});

// guard is a remote object whose answers are rejected when its worker has ended:
// comlink would wait for them for ever.
function guard(remote, ending, terminate) {
	const answer = (promise) => ending.race(promise).then((value) => (typeof value === "function" ? guard(value, ending) : value));
	return new Proxy(remote, {
		get(remote, name) {
			if (name === "terminate" && terminate) return terminate;
			const part = name === "then" && terminate ? undefined : remote[name]; // a promise may resolve with Pyodide
			if (typeof part !== "function" || typeof name === "symbol") return name === "then" ? undefined : part;
			if (name === "then") return (...to) => answer({ then: part }).then(...to);
			return guard(part, ending);
		},
		apply: (remote, self, args) => answer(remote(...args)),
		construct: (remote, args) => answer(new remote(...args)),
	});
}
