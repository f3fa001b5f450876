// Byte-compiles Pyodide's standard library, once, with the same Pyodide.
//
//   node web/pyodide/stdlib.mjs [--pyodide node_modules/pyodide] [--out bin/pyodide]
//
// Most of the freeze of loadPyodide is CPython compiling its standard library
// from source; zipimport does so twice for each module. Written to --out:
//
//   python_stdlib_compiled.zip  every file of python_stdlib.zip, and byte code: for the option stdLibURL
//   startup.json                what it was made from, and the imports of a start in order: for gentle.js
//
// Same input, same bytes.

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

// Compiled besides what a start imports: what loadPackage imports to install a
// wheel, then what study environments import, and the packages they are made
// with (numpy, gymnasium, matplotlib). Byte code for all modules would add
// 1.7 MB to the download, most of it for modules that no page imports; what is
// left out is compiled when imported, as in the plain library.
const ALSO = `
import email, encodings.cp437, importlib.metadata, tarfile
import argparse, colorsys, csv, ctypes, datetime, decimal, fractions, hashlib, hmac
import importlib.resources, numbers, pickle, platform, queue, secrets, statistics
import urllib.parse, uuid
import pyodide.http
`;

/**
 * @typedef {object} Startup what startup.json holds
 * @property {string} pyodide the version that the library belongs to
 * @property {string} plain SHA-256 of the python_stdlib.zip it was made from, in hex
 * @property {string} sha256 of the compiled library
 * @property {number} size of the compiled library, in bytes
 * @property {string[]} imports see gentle.js
 */

/**
 * @param {string} pyodideDir the npm package pyodide
 * @returns {Promise<{zip: Uint8Array, startup: Startup}>}
 */
export async function compile(pyodideDir) {
	const dir = path.resolve(pyodideDir);
	const { python, log } = await observedStart(dir);
	const imports = startupImports(python, log);

	const scope = python.globals.get("dict")();
	python.runPython(await readFile(new URL("compile.py", import.meta.url), "utf8"), { globals: scope });
	python.runPython(ALSO);
	python.runPython(`write(library(), "/compiled.zip", modules_in(library()))`, { globals: scope });
	const zip = python.FS.readFile("/compiled.zip");

	const plain = await readFile(path.join(dir, "python_stdlib.zip"));
	const pyodide = python.version;
	return { zip, startup: { pyodide, plain: sha256(plain), sha256: sha256(zip), size: zip.length, imports } };
}

// Starts Pyodide and keeps what Python says about each import once it runs.
async function observedStart(dir) {
	const { loadPyodide } = await load(dir, "pyodide.mjs");
	const { default: createPyodideModule } = await load(dir, "pyodide.asm.mjs");
	const log = [];
	const python = await loadPyodide({
		indexURL: dir,
		env: {
			PYTHONHASHSEED: "0", // byte code holds sets of constants in the order of their hashes
			PYTHONPROFILEIMPORTTIME: "1",
		},
		stderr: (line) => log.push(line),
		createPyodideModule: async (settings) => {
			const module = await createPyodideModule(settings);
			log.length = 0;
			const rawRun = module.API.rawRun; // it keeps what Python prints to itself
			module.API.rawRun = (code) => {
				const [status, printed] = rawRun(code);
				log.push(...printed.split("\n"));
				return [status, printed];
			};
			return module;
		},
	});
	return { python, log: [...log] };
}

// The modules imported once the interpreter ran, each after those it imports
// itself. Of Pyodide's own, only what comes with the package _pyodide, which by
// its rules imports nothing from JavaScript; the others need parts of Pyodide
// that are not there yet.
function startupImports(python, log) {
	const names = log.map((line) => /^import time:\s*\d+ \|\s*\d+ \|\s*(\S+)$/.exec(line)?.[1] ?? "");
	const { modules, stdlib_module_names: ofCPython } = python.pyimport("sys");
	const base = names.indexOf("_pyodide") + 1;
	const early = names.filter((name, i) => i < base || ofCPython.has(name.split(".")[0]));
	return [...new Set(early)].filter((name) => modules.has(name)); // not those that were tried in vain
}

const load = (dir, file) => import(pathToFileURL(path.join(dir, file)));

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function main() {
	const { values } = parseArgs({
		options: {
			pyodide: { type: "string", default: "node_modules/pyodide" },
			out: { type: "string", default: "bin/pyodide" },
		},
	});
	const { zip, startup } = await compile(values.pyodide);
	await mkdir(values.out, { recursive: true });
	await writeFile(path.join(values.out, "python_stdlib_compiled.zip"), zip);
	await writeFile(path.join(values.out, "startup.json"), JSON.stringify(startup, null, 1) + "\n");
	console.log(`Pyodide ${startup.pyodide}: ${(zip.length / 1e6).toFixed(1)} MB, ${startup.imports.length} imports at the start`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	await main().catch((error) => {
		console.error(`stdlib: ${error.message.split("\n")[0]}`);
		process.exitCode = 1;
	});
}
