import { fault, text } from "../errors.js";

// install loads packages. Pyodide's own loadPackage resolves although some, or
// all of them, could not be loaded.
export async function install(pyodide, packages) {
	const canonical = (name) => name.toLowerCase().replace(/[-_.]+/g, "-");
	const nameOf = (p) => canonical(/([^/]*)\.whl$/.exec(p)?.[1].split("-")[0] ?? p);
	const complaints = [];
	try {
		await pyodide.loadPackage(packages, { errorCallback: (line) => complaints.push(line) });
	} catch (err) { // a name that the lock file does not know
		throw fault("package_failed", text(err), err);
	}
	const loaded = new Set(Object.keys(pyodide.loadedPackages).map(canonical));
	const missing = packages.filter((p) => !loaded.has(nameOf(p)));
	if (missing.length || complaints.some((c) => c.startsWith("The following error occurred"))) {
		throw fault("package_failed", `not loaded: ${missing.join(", ") || "a dependency"}. ${complaints.join(" ")}`.trim());
	}
}
