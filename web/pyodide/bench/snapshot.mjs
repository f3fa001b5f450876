// Why Pyodide's memory snapshot is not offered: makes one, restores it, and
// prints what a study would run into. It also leaves the snapshot for run.mjs
// (--variants compiled+snapshot).
//
//   node web/pyodide/bench/snapshot.mjs [--pyodide node_modules/pyodide] [--built bin/pyodide]
//
// _makeSnapshot and _loadSnapshot are no public API of Pyodide.

import { writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
	options: {
		pyodide: { type: "string", default: "node_modules/pyodide" },
		built: { type: "string", default: "bin/pyodide" },
	},
});
const dir = path.resolve(args.pyodide);
const { loadPyodide } = await import(pathToFileURL(path.join(dir, "pyodide.mjs")));
const library = { indexURL: dir, stdLibURL: path.resolve(args.built, "python_stdlib_compiled.zip") };

async function make(code) {
	const python = await loadPyodide({ ...library, _makeSnapshot: true });
	python.runPython(code);
	return python.makeMemorySnapshot();
}

const restore = (snapshot, more) => loadPyodide({ ...library, _loadSnapshot: snapshot, ...more });

async function show(what, code, snapshot, more) {
	const python = await restore(snapshot, more);
	let found;
	try {
		found = String(python.runPython(code));
	} catch (error) {
		found = error.message.trim().split("\n").at(-1);
	}
	console.log(`${what}: ${found}`);
}

const bare = await make("pass");
await writeFile(path.join(args.built, "snapshot.bin"), bare);
console.log(`${bare.length} bytes`);

for (const participant of ["one participant", "another"]) {
	await show(`random numbers of ${participant}`, "import random; [random.random(), random.getrandbits(32)]", bare);
}
const study = await make(`
	import importlib, pathlib, random
	module = pathlib.Path("study.py")
	module.write_text("import random\\nrng = random.Random()\\ndef fail(): 1 / 0\\n")
	importlib.invalidate_caches()
	import study`);
for (const participant of ["one participant", "another"]) {
	await show(`a study's own generator, random reseeded, ${participant}`, "random.seed(); study.rng.random()", study);
}
await show("the study's files", "module.exists()", study);
await show(
	"environment and arguments as asked for",
	"import os, sys; [os.environ.get('ASKED'), sys.argv, os.environ['HOME'], os.getcwd()]",
	bare,
	{ env: { ASKED: "yes", HOME: "/home/study" }, args: ["-c", "pass", "asked"] },
);
process.env.TZ = "Asia/Tokyo";
await show("time zone in Tokyo", "import time; [time.timezone, -time.localtime().tm_gmtoff]", bare);
await show("with another file of the same library", "import csv", bare, {
	stdLibURL: path.join(dir, "python_stdlib.zip"),
});
const damaged = bare.slice();
for (let i = 0; i < 64; i++) damaged[2_000_000 + 4096 * i] ^= 0xff;
await show("64 bytes damaged", "'starts without complaint'", damaged);
