import assert from "node:assert/strict";
import path from "node:path";
import { before, test } from "node:test";
import { nextTask } from "../task.js";
import { gently } from "./gentle.js";
import { behaviour, compiledLibrary, differences, loadPyodide, options } from "./testing/libraries.mjs";

let library;
before(async () => (library = await compiledLibrary()));

const compiled = (more) => options({ stdLibURL: library.file, ...more });

test("a start in steps leaves the same interpreter", async (t) => {
	const plain = await loadPyodide(options());
	const stepped = await loadPyodide(gently(compiled(), { imports: library.startup.imports, stepMs: 0 }));
	for (const name of ["started", "tracebacks", "sources", "resources"]) {
		await t.test(name, () => assert.deepEqual(differences(behaviour(stepped, name), behaviour(plain, name)), []));
	}
});

test("every step is a task of its own", async () => {
	const imports = library.startup.imports;
	const progress = [];
	let tasks = 0;
	let loading = true;
	const others = (async () => {
		for (; loading; tasks++) await nextTask();
	})();
	await loadPyodide(
		gently(compiled(), { imports, stepMs: 0, onProgress: (fraction) => progress.push({ fraction, tasks }) }),
	);
	loading = false;
	await others;
	assert.deepEqual(progress.map(({ fraction }) => fraction), imports.map((_, i) => (i + 1) / imports.length));
	const together = progress.slice(1).filter((step, i) => step.tasks === progress[i].tasks);
	assert.deepEqual(together, []);
});

test("the imports of startup.json are all that a start makes of the standard library", async () => {
	const stepped = gently(compiled(), { imports: library.startup.imports });
	const { createPyodideModule } = stepped;
	const python = await loadPyodide({
		...stepped,
		createPyodideModule: async (settings) => {
			const module = await createPyodideModule(settings);
			module.API.rawRun("import sys; sys.started = set(sys.modules); del sys");
			return module;
		},
	});
	const late = python.runPython("import sys; sorted(set(sys.modules) - sys.started)").toJs();
	assert.deepEqual(late.filter((name) => !/^(pyodide|pyodide_js|js)(\.|$)/.test(name)), []);
});

test("an import that fails is left to Pyodide", async () => {
	const python = await loadPyodide(gently(compiled(), { imports: ["no_such_module", "'); oops(", "json"] }));
	assert.equal(python.runPython("import json; json.dumps([1])"), "[1]");
});

test("a signal ends the start at the next pause", async () => {
	const stop = new AbortController();
	const reason = new Error("the study is over");
	const started = loadPyodide(
		gently(compiled(), {
			imports: library.startup.imports,
			stepMs: 0,
			signal: stop.signal,
			onProgress: () => stop.abort(reason),
		}),
	);
	await assert.rejects(started, reason);
	await assert.rejects(
		loadPyodide(gently(compiled(), { imports: [], signal: AbortSignal.abort(reason) })),
		reason,
		"aborted beforehand",
	);
});

test("what the page asks for is kept", async () => {
	const { default: createPyodideModule } = await import(path.join(options().indexURL, "pyodide.asm.mjs"));
	const asked = [];
	const python = await loadPyodide(
		gently(
			compiled({
				env: { ASKED: "yes" },
				createPyodideModule: (settings) => {
					asked.push("createPyodideModule");
					return createPyodideModule(settings);
				},
				fsInit: async (FS) => {
					asked.push("fsInit");
					FS.writeFile("/asked", "yes");
				},
			}),
			{ imports: library.startup.imports },
		),
	);
	assert.deepEqual(asked, ["createPyodideModule", "fsInit"]);
	assert.equal(python.runPython("import os; os.environ['ASKED'] + open('/asked').read()"), "yesyes");
});

test("a library that is none fails as without steps", async (t) => {
	t.after(() => (process.exitCode = undefined)); // Emscripten sets it when Python exits
	const broken = options({ stdLibURL: new URL(import.meta.url).pathname, stderr() {} });
	const without = await loadPyodide(broken).catch((error) => error);
	const within = await loadPyodide(gently(broken, { imports: library.startup.imports })).catch((error) => error);
	assert.equal(without.name, "ExitStatus");
	assert.deepEqual([within.name, within.message], [without.name, without.message]);
});
