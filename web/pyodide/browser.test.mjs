import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./testing/browser.mjs";
import { compiledLibrary, pyodideDir } from "./testing/libraries.mjs";
import { serve } from "./testing/server.mjs";

const local = (name) => fileURLToPath(new URL(name, import.meta.url));

test("a page under a strict policy lives on while Pyodide starts in steps", { timeout: 300_000 }, async (t) => {
	const library = await compiledLibrary();
	const server = await serve({
		"/": local("testing/page/"),
		"/initgrace/": local("../"),
		"/initgrace/pyodide/": local("./"),
		"/pyodide/": pyodideDir,
		"/startup.json": path.join(library.dir, "startup.json"),
		"/compiled.zip": library.file,
	});
	t.after(server.close);
	const browser = await launch();
	t.after(browser.close);
	const page = await browser.open(`${server.origin}/index.html`);
	while (!(await page.evaluate("'start' in globalThis"))) await new Promise((resolve) => setTimeout(resolve, 50));
	const { steps, tasks, page: seen } = await page.evaluate("start()");
	assert.ok(tasks >= steps - 1, `${tasks} other tasks between ${steps} steps`);
	assert.deepEqual(seen, ["Pyodide in steps", "/index.html"]);
});
