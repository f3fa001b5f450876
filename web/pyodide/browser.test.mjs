import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./testing/browser.mjs";
import { compiledLibrary, pyodideDir } from "./testing/libraries.mjs";
import { serve } from "./testing/server.mjs";

const local = (name) => fileURLToPath(new URL(name, import.meta.url));

const SLOW = { timeout: 300_000 };

// A real browser, and pages of a server with a strict policy.
async function lab(t) {
	const { file, startup } = await compiledLibrary();
	const { size, sha256, imports, pyodide: version } = startup;
	const damaged = await readFile(file);
	damaged.fill(0xff, 6_000_000, 6_000_064);
	const files = {};
	for (const name of ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]) {
		files[name] = (await readFile(path.join(pyodideDir, name))).length;
	}
	const config = { version, index_url: "/pyodide/", files };
	const served = {
		"/": local("testing/page/"),
		"/initgrace/": local("../"),
		"/initgrace/pyodide/": local("./"),
		"/initgrace/vendor/comlink.js": path.join(pyodideDir, "../comlink/dist/esm/comlink.min.mjs"),
		"/pyodide/": pyodideDir,
		"/compiled.zip": file,
		"/damaged.zip": damaged,
	};
	const faults = {};
	const server = await serve(served, faults);
	t.after(server.close);
	const browser = await launch();
	t.after(browser.close);

	// broken is another folder of Pyodide's: nothing of it is in the browser's cache.
	function broken(folder, name, answers) {
		served[folder] = pyodideDir;
		faults[folder + name] = answers;
		return folder;
	}

	async function evaluate(compiled, expression, query = "", index_url = "/pyodide/") {
		served["/initgrace/config.json"] = Buffer.from(JSON.stringify({ pyodide: { ...config, index_url, compiled } }));
		const page = await browser.open(`${server.origin}/index.html${query}`);
		while (!(await page.evaluate("'startWorker' in globalThis"))) await new Promise((resolve) => setTimeout(resolve, 50));
		const result = await page.evaluate(expression);
		await page.close();
		return result;
	}
	const compiled = { url: "/compiled.zip", size, sha256, imports };
	return { evaluate, broken, faults, compiled, files, requests: server.requests };
}

test("a page starts Pyodide", SLOW, async (t) => {
	const { evaluate, broken, faults, compiled, files, requests } = await lab(t);
	async function start(compiled, options = {}, query) {
		const result = await evaluate(compiled, `start(${JSON.stringify(options)})`, query);
		assert.deepEqual(result.works.slice(0, 2), ["Pyodide in steps", "/index.html"]);
		return { ...result, library: result.works[2], phases: [...new Set(result.page.map(({ phase }) => phase))] };
	}

	let took;
	await t.test("in steps, with the compiled library", async () => {
		const r = await start(compiled);
		assert.equal(r.library, "pyc");
		assert.ok(r.steps >= 5 && r.tasks >= r.steps - 1, `${r.tasks} other tasks between ${r.steps} steps`);
		assert.deepEqual(r.phases, ["announced", "downloading", "starting", "ready"]);
		assert.equal(r.server[0].phase, "starting");
		assert.deepEqual(r.lease, { phase: "downloading" });
		const loaded = r.page.filter(({ phase }) => phase === "downloading");
		const total = files["pyodide.asm.wasm"] + files["pyodide-lock.json"] + compiled.size;
		assert.deepEqual([loaded.at(-1).bytes, loaded.at(-1).total, loaded.at(-1).fraction], [total, total, 1]);
		for (const key of ["bytes", "elapsedMs"]) {
			const values = loaded.map((p) => p[key]);
			assert.deepEqual(values, values.toSorted((a, b) => a - b), key);
		}
		took = Math.round(r.page.at(-1).elapsedMs);
	});
	await t.test("whose files were downloaded before", async () => {
		const { ahead, twice } = await evaluate(compiled, "fetchAhead()");
		assert.deepEqual(ahead, ["compiled.zip", "pyodide-lock.json", "pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide.mjs"]);
		assert.deepEqual(twice, []);
		const big = requests.filter((path) => /\.(wasm|zip)$/.test(path)); // which a worker asks for
		assert.deepEqual(big.toSorted(), ["/compiled.zip", "/pyodide/pyodide.asm.wasm"]);
	});
	await t.test("and has learnt how long that takes", async () => {
		const r = await start(compiled, { expectedMs: 99_999 });
		assert.ok(Math.abs(r.lease.expectedMs - took) <= 50, `${r.lease.expectedMs} ms expected after ${took} ms`);
		assert.ok(r.server[0].left < r.lease.expectedMs);
	});
	for (const [where, query] of [["", ""], [", where there can be no worker that downloads", "?alone"]]) {
		await t.test(`when all is there, and not before${where}`, async () => {
			const r = await start({ ...compiled, url: `/compiled.zip?late${query}` }, {}, query);
			assert.deepEqual([r.library, r.steps > 0], ["pyc", true]);
			const { bytes, total } = r.page.findLast(({ phase }) => phase === "downloading");
			assert.equal(bytes, total);
		});
	}
	await t.test("plainly, when it wants to", async () => {
		const r = await start(compiled, { steps: false });
		assert.deepEqual([r.library, r.steps], ["py", 0]);
		assert.deepEqual(r.phases, ["announced", "downloading", "starting", "ready"]);
	});
	for (const [why, instead, library, stepped] of [
		["the compiled library is missing", { ...compiled, url: "/missing.zip" }, "py", true],
		["the compiled library is damaged", { ...compiled, url: "/damaged.zip" }, "py", true],
		["a start in steps fails", { ...compiled, imports: 7 }, "py", false],
	]) {
		await t.test(`plainly, when ${why}`, async () => {
			const r = await start(instead);
			assert.deepEqual([r.library, r.steps > 0], [library, stepped]);
		});
	}
	await t.test("at another try, when the server did not say what there is", async () => {
		faults["/initgrace/config.json"] = [(response) => response.writeHead(503).end()];
		const { failed, library } = await evaluate(compiled, "startAgain({})");
		assert.deepEqual([failed.map(({ code }) => code), library], [["load_failed"], "pyc"]);
		assert.match(failed[0].message, /HTTP 503.*try again/);
	});
	// Of each the worker beside the page hears first, and then the page. Pyodide itself would never say anything.
	const missing = (response) => response.writeHead(404).end();
	const mistyped = (response) => response.writeHead(200, { "Content-Type": "text/plain" }).end("\0asm");
	const stalled = (response) => response.writeHead(200, { "Content-Type": "application/wasm" }).write("\0asm");
	for (const [why, answers, code, says] of [
		["at another try, when the WASM was missing", [missing, missing], "load_failed", "HTTP 404"],
		["at another try, when the WASM's type was wrong", [mistyped, mistyped], "load_failed", "MIME"],
		["at another try, when the WASM stood still", [stalled], "load_stalled", "for 3 s"],
		["at once, when only the worker did not get the WASM", [mistyped], undefined],
	]) {
		await t.test(why, async () => {
			const folder = broken(`/${why.replaceAll(" ", "-")}/`, "pyodide.asm.wasm", [...answers]);
			const r = await evaluate(compiled, "startAgain({ stallMs: 3000 })", "", folder);
			assert.equal(r.library, "pyc");
			assert.equal(requests.filter((path) => path === `${folder}pyodide.asm.wasm`).length, answers.length + 1);
			assert.deepEqual(r.failed.map((f) => [f.code, f.phase]), code ? [[code, "failed"]] : []);
			for (const { message, took } of r.failed) {
				assert.ok(message.includes(says), message);
				assert.ok(took < 60_000, `told after ${took} ms`);
			}
		});
	}
});

test("a worker starts Pyodide, and the page runs on", SLOW, async (t) => {
	const { evaluate, compiled } = await lab(t);
	const r = await evaluate(compiled, "startWorker()");
	assert.deepEqual([r.failed, r.refused, r.own], ["package_failed", "invalid_payload", "invalid_payload"]);
	assert.ok(r.tasks > 100, `${r.tasks} tasks of the page while Python was busy`);
	assert.deepEqual(r.answers, {
		number: 43,
		state: { n: 2, path: [1] },
		file: "class Game",
		error: ["PythonError", true],
		library: "pyc",
		document: false,
	});
	assert.deepEqual(r.phases, ["announced", "downloading", "starting", "init", "ready"]);
	assert.deepEqual(r.ends, {
		joined: 1, // one lease for preload and the load that joined it
		dead: "worker_failed",
		later: "worker_failed",
		elsewhere: "invalid_payload",
		package_: "package_failed",
		again: [42, true, 0], // the worker that preload started is there without another lease
		terminated: "closed",
	});
});

test("a load in a worker that is given up leaves nothing behind", SLOW, async (t) => {
	const { evaluate, compiled } = await lab(t);
	assert.deepEqual(await evaluate(compiled, "giveUpWorkers()"), {
		first: "aborted",
		second: [42, 1],
		start: ["aborted", 0],
		init: ["aborted", 0],
		failed: ["no environment", 0],
		late: [42, 1],
		uncaught: [true, 42],
		next: [true, 1],
	});
});
