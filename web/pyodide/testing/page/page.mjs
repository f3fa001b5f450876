import { gently } from "/initgrace/pyodide/gentle.js";
import { nextTask } from "/initgrace/task.js";
import { loadPyodide } from "/pyodide/pyodide.mjs";

// Starts Pyodide in steps and says how many other tasks the page ran meanwhile, and that Python works.
globalThis.start = async () => {
	const { imports } = await (await fetch("/startup.json")).json();
	let tasks = 0;
	let loading = true;
	(async () => {
		for (; loading; tasks++) await nextTask();
	})();
	let before;
	let within;
	const python = await loadPyodide(
		gently(
			{ indexURL: "/pyodide/", stdLibURL: "/compiled.zip" },
			{
				imports,
				stepMs: 0,
				onProgress: () => {
					before ??= tasks;
					within = tasks;
				},
			},
		),
	);
	loading = false;
	const waited = await python.runPythonAsync(`
		import asyncio, js, json
		from pyodide.ffi import run_sync
		run_sync(asyncio.sleep(0.01))  # stack switching
		json.dumps([js.document.title, js.location.pathname])
	`);
	return { steps: imports.length, tasks: within - before, page: JSON.parse(waited) };
};
