import { fault, text } from "../errors.js";

const canonical = (name) => name.toLowerCase().replace(/[-_.]+/g, "-");
const nameOf = (p) => canonical(/([^/]*)\.whl$/.exec(p)?.[1].split("-")[0] ?? p);
const nameIn = (url) => /([^/]*?)-[^/]*\.(?:whl|zip|tar)$/.exec(url)?.[1];

/**
 * Loads packages. Pyodide's own loadPackage resolves although some, or all of
 * them, could not be loaded; this rejects then. It loads one thing at a time, and
 * so what has been given up must not be downloaded any further.
 * @param {(p: {package?: string, done: number, count: number}) => void} onProgress for each that has arrived
 */
export async function install(pyodide, packages, watch, onProgress) {
	const complaints = [];
	let done = 0;
	let count = packages.length;
	const givenUp = new AbortController();
	watch.failed.catch((err) => givenUp.abort(err));
	watch.signal = (url) => (nameIn(url) ? givenUp.signal : undefined);
	watch.arrived = (url) => {
		const name = nameIn(url);
		if (name) onProgress({ package: name, done: ++done, count: Math.max(count, done), fraction: done / Math.max(count, done) });
	};
	try {
		await pyodide.loadPackage(packages, {
			checkIntegrity: true, // Pyodide's default, but only without any options
			messageCallback: (line) => {
				const names = /^Loading (.*)$/.exec(line)?.[1].split(", ");
				if (names) onProgress({ done, count: (count = Math.max(count, names.length)) });
			},
			errorCallback: (line) => complaints.push(line),
		});
	} catch (err) { // a name that the lock file does not know
		throw fault("package_failed", text(err), err);
	} finally {
		watch.arrived = watch.signal = undefined;
	}
	const loaded = new Set(Object.keys(pyodide.loadedPackages).map(canonical));
	const missing = packages.filter((p) => !loaded.has(nameOf(p)));
	if (missing.length || complaints.some((c) => c.startsWith("The following error occurred"))) {
		throw fault("package_failed", `not loaded: ${missing.join(", ") || "a dependency"}. ${complaints.join(" ")}`.trim());
	}
}
