// Measures how long Pyodide's start freezes a real page, variant beside variant.
//
//   node web/pyodide/stdlib.mjs && node web/pyodide/bench/run.mjs
//
//   --variants plain,loader,loader+worker     (loader: what a session does)
//              plain,compiled,compiled+gentle (its parts)
//   --rates 1,4,6 (CPU throttle)   --runs 5
//   --pyodide node_modules/pyodide   --built bin/pyodide   --chromium FILE
//   --library NAME=FILE   another library, to be named in --variants (repeatable)
//
// Every load has a browser of its own, with nothing cached; variants are
// interleaved. Printed are medians, in milliseconds, and their ratio to the
// first variant: "total" until loadPyodide resolves, the "longest" block and
// all that was "blocked" (tasks over 50 ms) by the clock, then the processor
// time of the main thread: of its "longest task" and of its "work" in all. On a
// busy machine these say more than the clock. The throttle slows the main
// thread only, not the threads that download and compile.

import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launch } from "../testing/browser.mjs";
import { serve } from "../testing/server.mjs";

const { values: args } = parseArgs({
	options: {
		variants: { type: "string", default: "plain,loader,loader+worker" },
		rates: { type: "string", default: "1,4,6" },
		runs: { type: "string", default: "5" },
		pyodide: { type: "string", default: "node_modules/pyodide" },
		built: { type: "string", default: "bin/pyodide" },
		chromium: { type: "string" },
		library: { type: "string", multiple: true, default: [] },
	},
});
const here = path.dirname(fileURLToPath(import.meta.url));
const files = {
	"/page/": path.join(here, "page"),
	"/initgrace/": path.join(here, "../.."),
	"/initgrace/pyodide/": path.join(here, ".."),
	"/pyodide/": args.pyodide,
	"/startup.json": path.join(args.built, "startup.json"),
	"/library/snapshot.bin": path.join(args.built, "snapshot.bin"),
	"/library/plain.zip": path.join(args.pyodide, "python_stdlib.zip"),
	"/library/compiled.zip": path.join(args.built, "python_stdlib_compiled.zip"),
};
const startup = JSON.parse(await readFile(files["/startup.json"]));
const sizes = {};
for (const name of ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]) {
	sizes[name] = (await stat(path.join(args.pyodide, name))).size;
}
const compiled = { ...startup, url: "/library/compiled.zip" };
const config = { pyodide: { version: startup.pyodide, index_url: "/pyodide/", files: sizes, compiled } };
files["/initgrace/config.json"] = Buffer.from(JSON.stringify(config));
files["/initgrace/vendor/comlink.js"] = path.join(args.pyodide, "../comlink/dist/esm/comlink.min.mjs");
for (const library of args.library) {
	const [name, file] = library.split("=");
	files[`/library/${name}.zip`] = file;
}

async function measure(origin, variant, rate) {
	const browser = await launch(args.chromium);
	try {
		const page = await browser.open(`${origin}/page/index.html`);
		while (!(await page.evaluate("'measure' in globalThis"))) await sleep(100);
		await sleep(1000); // the browser's own start would take the processor
		await page.command("Emulation.setCPUThrottlingRate", { rate });
		const { events, result } = await browser.trace(["toplevel", "blink.user_timing"], () =>
			page.evaluate(`measure(${JSON.stringify(variant)})`),
		);
		return { ...result, ...processorTime(events) };
	} finally {
		await browser.close();
	}
}

// A task of the main thread ends where the next begins: what runs between are its microtasks.
function processorTime(events) {
	const mark = (name) => events.find((event) => event.cat === "blink.user_timing" && event.name === name);
	const [begin, end] = [mark("begin"), mark("end")];
	const tasks = events.filter(
		({ pid, tid, ph, name, ts }) =>
			[pid, tid, ph, name].join() === [begin.pid, begin.tid, "X", "ThreadControllerImpl::RunTask"].join() &&
			ts > begin.ts &&
			ts < end.ts,
	);
	const starts = [begin, ...tasks, end].map((event) => event.tts / 1000).sort((a, b) => a - b);
	return {
		"longest task": Math.max(...starts.slice(1).map((start, i) => start - starts[i])),
		work: starts.at(-1) - starts[0],
	};
}

function median(numbers) {
	const sorted = numbers.toSorted((a, b) => a - b);
	return sorted[Math.floor(sorted.length / 2)];
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const variants = args.variants.split(",");
const rates = args.rates.split(",").map(Number);
const measured = new Map();
const server = await serve(files);
for (let run = 0; run < Number(args.runs); run++) {
	for (const rate of rates) {
		for (const variant of variants) {
			const key = `${rate}x ${variant}`;
			const result = await measure(server.origin, variant, rate);
			measured.set(key, [...(measured.get(key) ?? []), result]);
			console.error(key, JSON.stringify(result, (_, value) => (typeof value === "number" ? Math.round(value) : value)));
		}
	}
}
server.close();

const COLUMNS = ["total", "longest", "blocked", "longest task", "work"];
console.log(`| throttle | variant | ${COLUMNS.join(" | ")} |`);
console.log(`|${"---|".repeat(COLUMNS.length + 2)}`);
for (const rate of rates) {
	const of = (variant, column) => median(measured.get(`${rate}x ${variant}`).map((result) => result[column]));
	for (const variant of variants) {
		const cells = COLUMNS.map((column) => {
			const ratio = of(variant, column) / of(variants[0], column);
			return `${Math.round(of(variant, column))}${variant === variants[0] ? "" : ` (${ratio.toFixed(2)})`}`;
		});
		console.log(`| ${rate}× | ${variant} | ${cells.join(" | ")} |`);
	}
}
