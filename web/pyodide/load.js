// Pyodide under a lease.

import { fault } from "../errors.js";
import { install } from "./packages.js";
import { Watch } from "./watch.js";

const defaults = {
	stallMs: 30_000, // of a download
	packagesPhase: "packages",
	initPhase: "init",
};

let interpreter; // Promise of the one on this page
let imports = 0;

/**
 * Session.loadPyodide. There is one interpreter on a page.
 * @param {{lease: Function}} link runs what blocks under a lease, see loader.js
 */
export function loadPyodide(link, options) {
	interpreter ??= start(link, { ...defaults, ...options }).catch((err) => {
		interpreter = undefined; // another try is another load
		throw err;
	});
	return interpreter;
}

function start(link, o) {
	if (!o.indexURL && !o.loadPyodide) return Promise.reject(fault("invalid_payload", "loadPyodide: indexURL is missing"));
	const indexURL = o.indexURL && new URL(o.indexURL.replace(/\/?$/, "/"), globalThis.location?.href).href;
	const packages = [o.packages ?? []].flat();
	return link.lease({ ...o, id: "pyodide" }, async (progress) => {
		const began = performance.now();
		const next = (phase) => {
			const left = o.expectedMs ? Math.max(1000, o.expectedMs - (performance.now() - began)) : 0;
			return progress(phase, 0, left).catch(() => {}); // a lease that is over changes nothing here
		};
		const watch = new Watch(indexURL, o.stallMs, o.onProgress);
		let pyodide;
		try {
			const load = o.loadPyodide ?? (await watch.race(importPyodide(indexURL))).loadPyodide;
			pyodide = await watch.race(load({ ...o.options, ...(indexURL && { indexURL }) }));
			if (packages.length) {
				await next(o.packagesPhase);
				await watch.race(install(pyodide, packages));
			}
		} catch (err) {
			throw watch.explain(err);
		} finally {
			watch.stop();
		}
		if (o.init) {
			await next(o.initPhase);
			await o.init(pyodide);
		}
		return pyodide;
	});
}

// A failed import is remembered by its address, so each try has another one.
const importPyodide = (indexURL) => import(`${indexURL}pyodide.mjs${imports++ ? `?retry=${imports}` : ""}`);
