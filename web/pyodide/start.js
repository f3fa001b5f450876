// The start itself: the downloads, the interpreter, the packages. It runs on
// the page or in a worker of Pyodide's own.

import { gently } from "./gentle.js";
import { install } from "./packages.js";
import { Watch } from "./watch.js";

let imports = 0;

/**
 * @param {object} setup see plan.js
 * @param {string[]} packages
 * @param {object} o what the page asked for; signal, stallMs, phase, packagesPhase, loadPyodide
 * @param {object} stages is told how far it is; see load.js
 */
export const startPyodide = (setup, packages, o, stages) =>
	watched(setup, o, stages, async (watch) => {
		const pyodide = await interpret(setup, o, watch, stages);
		await add(pyodide, packages, o, watch, stages);
		return pyodide;
	});

/** Packages for a Pyodide that has started. */
export const addPackages = (pyodide, setup, packages, o, stages) =>
	watched(setup, o, stages, (watch) => add(pyodide, packages, o, watch, stages));

async function watched(setup, o, stages, run) {
	const watch = new Watch(setup, o.stallMs, {
		downloaded: (bytes) => stages.downloaded(bytes),
		instantiated: () => stages.enter({ phase: "starting" }, o.phase ?? "starting"),
	});
	const abort = () => watch.fail(o.signal.reason);
	o.signal?.addEventListener("abort", abort);
	try {
		return await run(watch);
	} catch (err) {
		throw o.signal?.aborted ? o.signal.reason : watch.explain(err);
	} finally {
		watch.stop();
		o.signal?.removeEventListener("abort", abort);
	}
}

async function add(pyodide, packages, o, watch, stages) {
	if (!packages.length) return;
	await stages.enter({ phase: "packages" }, o.packagesPhase ?? "packages");
	await watch.race(install(pyodide, packages, watch, (p) => stages.tell({ phase: "packages", ...p })));
}

// interpret starts Python: in steps and with the compiled library if the server
// has one for this Pyodide. If that fails by itself, plainly.
async function interpret(setup, o, watch, stages) {
	const options = { ...setup.options, ...o.options };
	if (o.loadPyodide) return watch.race(o.loadPyodide(options));
	if (setup.compiled && globalThis.document) watch.downloadAside();
	const { loadPyodide } = await watch.race(importPyodide(setup.indexURL));
	if (!setup.compiled) return watch.race(loadPyodide(options));
	const stop = new AbortController();
	try {
		return await watch.race(loadPyodide(gently({ ...options, stdLibURL: setup.compiled.url }, {
			imports: setup.compiled.imports,
			signal: stop.signal,
			onProgress: (fraction) => {
				watch.moved();
				stages.pass({ phase: "starting", fraction }, o.phase ?? "starting");
			},
		})));
	} catch (err) {
		if (watch.given) throw err; // it would not go better without steps
		console.warn("initgrace: Pyodide is started without steps, because with them:", err);
		return await watch.race(loadPyodide(options));
	} finally {
		stop.abort(new Error("this start of Pyodide was given up"));
	}
}

// A failed import is remembered by its address, so each try has another one.
const importPyodide = (indexURL) => import(`${indexURL}pyodide.mjs${imports++ ? `?retry=${imports}` : ""}`);
