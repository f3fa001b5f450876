import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { behaviour, compiledLibrary, differences, loadPyodide, options, pyodideDir } from "./testing/libraries.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let library;
let scratch;
before(async () => {
	library = await compiledLibrary();
	scratch = await mkdtemp(path.join(tmpdir(), "pyodide-library-"));
});
after(() => rm(scratch, { recursive: true }));

test("a build in another process gives the same bytes", async (t) => {
	const out = await mkdtemp(path.join(tmpdir(), "pyodide-again-"));
	t.after(() => rm(out, { recursive: true }));
	const script = fileURLToPath(new URL("stdlib.mjs", import.meta.url));
	await promisify(execFile)(process.execPath, [script, "--pyodide", pyodideDir, "--out", out]);
	const zip = await readFile(path.join(out, "python_stdlib_compiled.zip"));
	assert.equal(sha256(zip), library.startup.sha256);
	assert.deepEqual(JSON.parse(await readFile(path.join(out, "startup.json"))), library.startup);
});

test("startup.json says what the library is and was made from", async () => {
	const { version } = JSON.parse(await readFile(path.join(pyodideDir, "package.json")));
	assert.equal(library.startup.pyodide, version);
	assert.equal(library.startup.plain, sha256(await readFile(path.join(pyodideDir, "python_stdlib.zip"))));
	const zip = await readFile(library.file);
	assert.equal(library.startup.sha256, sha256(zip));
	assert.equal(library.startup.size, zip.length);
});

test("every file of the plain library is there, unchanged, and nothing but byte code beside it", async () => {
	const python = await loadPyodide(options());
	python.FS.writeFile("/compiled.zip", await readFile(library.file));
	const [changed, added] = python.runPython(`
		import sys, zipfile
		plain = zipfile.ZipFile(next(p for p in sys.path if p.endswith(".zip")))
		compiled = zipfile.ZipFile("/compiled.zip")
		there = set(compiled.namelist())
		changed = [
			entry.filename for entry in plain.infolist()
			if entry.filename not in there
			or plain.read(entry) != compiled.read(entry.filename)
			or entry.date_time != compiled.getinfo(entry.filename).date_time
			or entry.external_attr != compiled.getinfo(entry.filename).external_attr
		]
		changed, sorted(there.difference(plain.namelist()))`).toJs();
	assert.deepEqual(changed, []);
	assert.ok(added.length > 150, `${added.length} files of byte code`);
	assert.deepEqual(added.filter((name) => !name.endsWith(".pyc")), []);
});

// Compared as a whole and in this order: imports changes the interpreter.
const BEHAVIOURS = [
	"started",
	"tracebacks",
	"sources",
	"resources",
	"documentation",
	"doctests",
	"warned",
	"run_as_main",
	"imports",
];

test("behaves as the plain library does", async (t) => {
	const plain = await loadPyodide(options());
	const compiled = await loadPyodide(options({ stdLibURL: library.file }));
	for (const name of BEHAVIOURS) {
		await t.test(name, () =>
			assert.deepEqual(differences(behaviour(compiled, name), behaviour(plain, name)), []),
		);
	}
});

test("the comparison notices what a library without sources lacks", async () => {
	const python = await loadPyodide(options());
	python.FS.writeFile("/compiled.zip", await readFile(library.file));
	python.runPython(`
		import zipfile
		with zipfile.ZipFile("/compiled.zip") as compiled, zipfile.ZipFile("/bare.zip", "w") as bare:
			there = set(compiled.namelist())
			for entry in compiled.infolist():
				if entry.filename + "c" not in there:
					bare.writestr(entry, compiled.read(entry))`);
	const bareFile = path.join(scratch, "bare.zip");
	await writeFile(bareFile, python.FS.readFile("/bare.zip"));
	const bare = await loadPyodide(options({ stdLibURL: bareFile }));
	for (const name of ["tracebacks", "sources"]) {
		assert.notDeepEqual(differences(behaviour(bare, name), behaviour(python, name)), [], name);
	}
});

test("the byte code is what the sources give", async () => {
	const [different, compared] = behaviour(await loadPyodide(options({ stdLibURL: library.file })), "byte_code");
	assert.deepEqual(different, []);
	assert.ok(compared > 150, `${compared} modules`);
});

// The one difference, as zipimport makes it: a compiled module is its .pyc.
test("a compiled module names its byte code as its file, in the same folder", async () => {
	const python = await loadPyodide(options({ stdLibURL: library.file }));
	const file = python.runPython("import json; json.__file__");
	assert.match(file, /^\/lib\/python3\d+\.zip\/json\/__init__\.pyc$/);
	assert.equal(python.runPython("import inspect; inspect.getsourcefile(json)"), file.slice(0, -1));
	assert.equal(python.runPython("json.loads.__code__.co_filename"), file.slice(0, -1));
});

test("a start and the install of a wheel compile nothing of the library", async () => {
	const python = await loadPyodide(options({ stdLibURL: library.file }));
	python.runPython(`
		import sys, zipfile
		with zipfile.ZipFile("/tiny-1.0-py3-none-any.whl", "w") as wheel:
			wheel.writestr("tiny.py", "answer = 42\\n")
			wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
			wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
			wheel.writestr("tiny-1.0.dist-info/RECORD", "")
		`);
	const file = path.join(scratch, "tiny-1.0-py3-none-any.whl");
	await writeFile(file, python.FS.readFile("/tiny-1.0-py3-none-any.whl"));
	await python.loadPackage(file, { messageCallback() {} });
	assert.equal(python.runPython("import tiny; tiny.answer"), 42);
	const fromSource = python.runPython(`
		library = next(p for p in sys.path if p.endswith(".zip"))
		[name for name, module in sys.modules.items()
		 if (getattr(getattr(module, "__spec__", None), "origin", None) or "").startswith(library)
		 and module.__spec__.origin.endswith(".py")]`);
	assert.deepEqual(fromSource.toJs(), []);
});

test("a folder without Pyodide is refused in one line", async () => {
	const script = fileURLToPath(new URL("stdlib.mjs", import.meta.url));
	await assert.rejects(promisify(execFile)(process.execPath, [script, "--pyodide", "no/such/folder"]), (error) => {
		assert.equal(error.code, 1);
		assert.match(error.stderr, /^stdlib: .*no\/such\/folder.*\n$/);
		return true;
	});
});
