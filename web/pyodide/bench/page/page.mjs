import { loadPyodide as load } from "/initgrace/pyodide/load.js";
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

// What a session does, with a server that grants everything at once.
const link = {
	url: new URL("/", location).href,
	emitLocal() {},
	lease: (options, run) => run(async () => {}),
};

// Called by run.mjs. Times are in milliseconds.
globalThis.measure = async (variant) => {
	const ours = /^loader(\+worker)?$/.exec(variant);
	const given = ours ? { worker: Boolean(ours[1]) } : await options(variant);
	tasks.length = 0;
	performance.mark("begin");
	const python = await (ours ? load(link, given) : loadPyodide(given));
	performance.mark("end");
	if ((await python.runPython("import json; json.loads('[1]')[0]")) !== 1) throw new Error("Python does not work");
	await new Promise((resolve) => setTimeout(resolve, 200)); // the observer is told late
	const total = performance.measure("load", "begin", "end").duration;
	const blocks = tasks.map((task) => task.duration);
	return { total, longest: Math.max(0, ...blocks), blocked: blocks.reduce((sum, block) => sum + block, 0) };
};
