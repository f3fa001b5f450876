import { loadPyodide, prefetch, preload } from "/initgrace/pyodide/load.js";
import { nextTask } from "/initgrace/task.js";

// A way to a server that grants everything at once and keeps what it is told.
function link(told) {
	return {
		url: new URL("/", location).href,
		emitLocal: (event, data) => event === "progress" && told.page.push(data),
		async lease(options, run) {
			told.lease = options;
			told.leases = (told.leases ?? 0) + 1;
			return run(async (phase, fraction, left) => void told.server.push({ phase, fraction, left }));
		},
	};
}

// Starts Pyodide as a session does and says how it went, how many other tasks
// the page ran between the first and the last step, and that Python works.
globalThis.start = async (options = {}) => {
	const told = { page: [], server: [] };
	let tasks = 0;
	let loading = true;
	(async () => {
		for (; loading; tasks++) await nextTask();
	})();
	const between = [];
	const python = await loadPyodide(link(told), {
		...options,
		onProgress: ({ phase, fraction }) => phase === "starting" && fraction && between.push(tasks),
	});
	loading = false;
	const works = await python.runPythonAsync(`
		import asyncio, js, json
		from pyodide.ffi import run_sync
		run_sync(asyncio.sleep(0.01))  # stack switching
		json.dumps([js.document.title, js.location.pathname, json.__file__.rpartition(".")[2]])
	`);
	const { phase, expectedMs } = told.lease;
	return { ...told, lease: { phase, expectedMs }, steps: between.length, tasks: between.at(-1) - between[0], works: JSON.parse(works) };
};

// Tries until Python is there, and says what each try that failed said.
globalThis.startAgain = async (options) => {
	const failed = [];
	for (; ;) {
		const told = { page: [], server: [] };
		const at = performance.now();
		try {
			const python = await loadPyodide(link(told), options);
			return { failed, library: python.runPython("import json; json.__file__.rpartition('.')[2]") };
		} catch ({ code, message }) {
			failed.push({ code, message, phase: told.page.at(-1)?.phase, took: performance.now() - at });
			if (failed.length > 2) throw new Error(message);
		}
	}
};

// The same in a worker of its own, and what the page can do with it.
globalThis.startWorker = async () => {
	const told = { page: [], server: [] };
	const failed = await loadPyodide(link(told), { worker: true, packages: ["/nowhere-1.0-py3-none-any.whl"] }).catch((err) => err.code);
	const refused = await loadPyodide(link(told), { worker: true, options: { stdout() {} } }).catch((err) => err.code);
	const own = await loadPyodide(link(told), { worker: true, loadPyodide: () => {} }).catch((err) => err.code);
	told.page.length = told.leases = 0;
	const ahead = preload(link(told), { worker: true });
	const python = await loadPyodide(link(told), { // joins it
		worker: true,
		init: async (python) => {
			await python.FS.writeFile("study.py", "class Game:\n\tdef step(self, n): return {'n': n + 1, 'path': [n]}\n");
			await python.runPython("import study; game = study.Game()");
		},
	});
	let tasks = 0;
	let running = true;
	const others = (async () => {
		for (; running; tasks++) await nextTask();
	})();
	await python.runPythonAsync("import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass");
	running = false;
	await others;
	const step = await python.runPython("game.step");
	await python.globals.set("given", 42);
	const answers = {
		number: await python.runPython("given + 1"),
		state: await step(1),
		file: (await python.FS.readFile("study.py", { encoding: "utf8" })).slice(0, 10),
		error: await python.runPython("1 / 0").catch((err) => [err.name, err.message.includes("ZeroDivisionError")]),
		library: await python.runPython("import json; json.__file__.rpartition('.')[2]"),
		document: await python.runPython("import js; hasattr(js, 'document')"),
	};
	await ahead;
	const joined = told.leases;
	const [phases, server] = [[...new Set(told.page.map(({ phase }) => phase))], [...told.server]];
	const dead = await python.runPythonAsync("import asyncio, js; js.close(); await asyncio.sleep(600)").catch((err) => err.code);
	const later = await step(1).catch((err) => err.code);

	// Another one, and what comes when it is there.
	await preload(link(told), { worker: true });
	const elsewhere = await loadPyodide(link(told), { worker: false }).catch((err) => err.code);
	const package_ = await loadPyodide(link(told), { worker: true, packages: "/nowhere-1.0-py3-none-any.whl" }).catch((err) => err.code);
	const before = told.leases;
	const other = await loadPyodide(link(told), { worker: true });
	const again = [await other.runPython("6 * 7"), other !== python, told.leases - before];
	const pending = other.runPythonAsync("import asyncio; await asyncio.sleep(600)").catch((err) => err.code);
	other.terminate();
	const ends = { joined, dead, later, elsewhere, package_, again, terminated: await pending };
	return { ends, failed, refused, own, tasks, answers, phases, server };
};

// Loads in a worker that are given up, and how many workers are left of each.
globalThis.giveUpWorkers = async () => {
	const told = { page: [], server: [] };
	const load = (options) => loadPyodide(link(told), { worker: true, ...options });
	const workers = async (n) => { // each holds a lock
		for (const began = performance.now(); ; await nextTask()) {
			const held = (await navigator.locks.query()).held.filter(({ name }) => name.startsWith("initgrace:")).length;
			if (held === n || performance.now() - began > 30_000) return held;
		}
	};
	const outcome = (promise) => promise.then(() => "loaded", (err) => err.message);
	const aborted = (at) => {
		const giveUp = new AbortController();
		const init = () => (giveUp.abort(new Error("aborted")), new Promise(() => {}));
		if (at === "start") setTimeout(() => giveUp.abort(new Error("aborted")), 100);
		return outcome(load({ signal: giveUp.signal, ...(at === "init" && { init }) }));
	};
	// Given up in the task in which it was called, and called again in it.
	const never = new AbortController();
	const first = outcome(load({ signal: never.signal }));
	never.abort(new Error("aborted"));
	const second = load();
	const results = { first: await first, second: [await (await second).runPython("6 * 7"), await workers(1)] };
	(await second).terminate();
	Object.assign(results, {
		start: [await aborted("start"), await workers(0)],
		init: [await aborted("init"), await workers(0)],
		failed: [await outcome(load({ init: () => Promise.reject(new Error("no environment")) })), await workers(0)],
	});
	// A signal that comes when all is there comes too late.
	const late = new AbortController();
	const python = await load({ signal: late.signal });
	late.abort();
	results.late = [await python.runPython("6 * 7"), await workers(1)];
	// An exception in a callback is nobody's answer, and ends nothing.
	const uncaught = new Promise((resolve) => addEventListener("error", (e) => (e.preventDefault(), resolve(e.message.includes("ValueError")))));
	await python.runPython(`
		import js
		from pyodide.ffi import create_once_callable
		def fail(): raise ValueError
		js.setTimeout(create_once_callable(fail), 0)
	`.replaceAll("\n\t\t", "\n"));
	results.uncaught = [await uncaught, await python.runPython("6 * 7")];
	// The lock of one that ends comes back when the next load has begun.
	python.terminate();
	const next = await load();
	results.next = [(await load()) === next, await workers(1)];
	next.terminate();
	return results;
};

// What the browser downloads ahead of a start, and how often in all.
globalThis.fetchAhead = async () => {
	await prefetch(new URL("/", location).href, {});
	const files = () => performance.getEntriesByType("resource").filter(({ name }) => /\/pyodide\/|zip$/.test(name) && !name.includes("/initgrace/"));
	while (files().length < 5) await nextTask();
	const ahead = files().map(({ name }) => name.split("/").at(-1)).toSorted();
	await loadPyodide(link({ page: [], server: [] }), {});
	return { ahead, twice: files().filter(({ name, transferSize }, i, all) => transferSize > 0 && all.findIndex((f) => f.name === name) < i).map(({ name }) => name) };
};
