import { gently } from "/initgrace/pyodide/gentle.js";
import { loadPyodide } from "/pyodide/pyodide.mjs";

const tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: "longtask", buffered: true });

// A variant is the name of a library, as the server knows it, and what else is
// done about the freeze: "compiled+gentle".
async function options(variant) {
	const [library, ...how] = variant.split("+");
	let options = { indexURL: "/pyodide/", stdLibURL: `/library/${library}.zip` };
	if (how.includes("snapshot")) {
		options._loadSnapshot = fetch("/library/snapshot.bin").then((response) => response.arrayBuffer());
	}
	if (how.includes("gentle")) {
		const startup = await (await fetch("/startup.json")).json();
		options = gently(options, how.includes("snapshot") ? { imports: [] } : startup);
	}
	return options;
}

// Called by run.mjs. Times are in milliseconds.
globalThis.measure = async (variant) => {
	const given = await options(variant);
	tasks.length = 0;
	performance.mark("begin");
	const python = await loadPyodide(given);
	performance.mark("end");
	if (python.runPython("import json; json.loads('[1]')[0]") !== 1) throw new Error("Python does not work");
	await new Promise((resolve) => setTimeout(resolve, 200)); // the observer is told late
	const total = performance.measure("load", "begin", "end").duration;
	const blocks = tasks.map((task) => task.duration);
	return { total, longest: Math.max(0, ...blocks), blocked: blocks.reduce((sum, block) => sum + block, 0) };
};
