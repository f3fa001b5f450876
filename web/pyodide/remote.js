// Pyodide in a worker of its own, as the page sees it: every part of it is
// there, and every answer is a promise (comlink).

import { fault, text } from "../errors.js";
import { proxy, transferHandlers, wrap } from "../vendor/comlink.js";

transferHandlers.set("python", {
	canHandle: () => false, // a page has no Python objects
	deserialize: ({ value, callable }) => (callable ? wrap(callable) : value),
});

/** As startPyodide in start.js, with Pyodide in a worker. */
export async function startInWorker(setup, packages, o, stages) {
	if (o.loadPyodide) throw fault("invalid_payload", "loadPyodide: a worker cannot run the page's own loadPyodide");
	const { stallMs, phase, packagesPhase, options } = o;
	const page = globalThis.location?.href;
	const wheels = packages.map((name) => (/\.whl$/.test(name) ? new URL(name, page).href : name));
	let worker;
	try {
		worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
	} catch (err) {
		throw fault("worker_failed", `loadPyodide: there can be no worker: ${text(err)}`, err);
	}
	const broken = new Promise((_, reject) => {
		worker.onerror = (e) => {
			e.preventDefault?.();
			reject(fault("worker_failed", `loadPyodide: the worker does not run: ${e.message || "its script could not be loaded"}`));
		};
		o.signal?.addEventListener("abort", () => reject(o.signal.reason), { once: true });
	});
	broken.catch(() => {});
	try {
		const remote = wrap(worker);
		const told = proxy({
			downloaded: (bytes) => stages.downloaded(bytes),
			tell: (stage) => stages.tell(stage),
			enter: (stage, phase) => stages.enter(stage, phase),
			pass: (stage, phase) => stages.pass(stage, phase),
		});
		const failure = await Promise.race([broken, remote.start(setup, wheels, { stallMs, phase, packagesPhase, options }, told)]);
		if (failure) throw fault(failure.code, failure.message);
		const python = await Promise.race([broken, remote.python()]);
		return new Proxy(python, {
			get(python, name) {
				if (name === "then") return undefined; // a promise may resolve with it
				if (name === "terminate") return () => worker.terminate();
				return python[name];
			},
		});
	} catch (err) {
		worker.terminate();
		if (err?.name === "DataCloneError") throw fault("invalid_payload", `loadPyodide: options for a worker must be plain data: ${text(err)}`, err);
		throw err;
	}
}
