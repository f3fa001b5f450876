// Pyodides to compare: with the plain library and with the compiled one.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "../stdlib.mjs";

export const pyodideDir = path.join(path.dirname(fileURLToPath(import.meta.resolve("pyodide"))), "/");
const { loadPyodide } = await import(path.join(pyodideDir, "pyodide.mjs"));
export { loadPyodide };

/** Options for loadPyodide; sets have the same order each time, so that texts made from them are equal. */
export const options = (more = {}) => ({ indexURL: pyodideDir, env: { PYTHONHASHSEED: "0" }, ...more });

/**
 * A folder with the compiled library. It is kept for the next run: that a
 * build gives the same bytes each time is a test of its own.
 */
export async function compiledLibrary() {
	const sources = ["../compile.py", "../stdlib.mjs"].map((name) => new URL(name, import.meta.url));
	const key = createHash("sha256");
	for (const file of [...sources, path.join(pyodideDir, "python_stdlib.zip")]) key.update(await readFile(file));
	const dir = path.join(pyodideDir, "../.cache/initgrace", key.digest("hex").slice(0, 16));
	if (!existsSync(dir)) {
		const { zip, startup } = await compile(pyodideDir);
		await mkdir(path.dirname(dir), { recursive: true });
		const made = await mkdtemp(`${dir}-`);
		await writeFile(path.join(made, "python_stdlib_compiled.zip"), zip);
		await writeFile(path.join(made, "startup.json"), JSON.stringify(startup));
		await rename(made, dir).catch(() => rm(made, { recursive: true })); // another test was faster
	}
	const startup = JSON.parse(await readFile(path.join(dir, "startup.json")));
	return { dir, file: path.join(dir, "python_stdlib_compiled.zip"), startup };
}

const program = await readFile(new URL("behaviour.py", import.meta.url), "utf8");

/** What the function `name` of behaviour.py finds in this Pyodide. */
export function behaviour(python, name) {
	const scope = python.globals.get("dict")();
	python.runPython(program, { globals: scope });
	return JSON.parse(python.runPython(`json.dumps(${name}(), sort_keys=True)`, { globals: scope }));
}

/** Where two pieces of plain data differ: a line for each place. */
export function differences(actual, expected, place = "") {
	const objects = [actual, expected].every((value) => typeof value === "object" && value !== null);
	if (objects) {
		const keys = new Set([...Object.keys(actual), ...Object.keys(expected)]);
		return [...keys].flatMap((key) => differences(actual[key], expected[key], `${place}/${key}`));
	}
	if (actual === expected) return [];
	const [a, b] = [actual, expected].map((value) => JSON.stringify(value) ?? "nothing");
	let same = 0;
	while (a[same] === b[same]) same++;
	const around = (text) => text.slice(Math.max(0, same - 40), same + 80);
	return [`${place}: ${around(a)} instead of ${around(b)}`];
}
