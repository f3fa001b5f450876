// Pyodide's start in many short steps instead of one long block.
//
// The freeze of loadPyodide is one task: the interpreter starts, then imports
// its standard library. The imports need not be one task. So they are made
// here, one by one and with pauses, before Pyodide makes them: it then finds
// every module there. What cannot be cut is the start of the interpreter.

import { nextTask } from "../task.js";

/**
 * Options for `loadPyodide`, made from the page's own: the same Pyodide, started in steps.
 *
 * It uses the public option `createPyodideModule` and, if it is there, one
 * internal function of Pyodide (`API.rawRun`), so give it to the version that
 * `imports` was made for. Where that function is missing the start still works,
 * with fewer pauses.
 *
 * @param {object} options for loadPyodide
 * @param {object} how
 * @param {string[]} how.imports modules to import, each after those it needs; from startup.json
 * @param {number} [how.stepMs] pause when a step took this long, in milliseconds; default 50
 * @param {(fraction: number) => void} [how.onProgress] between steps, with the part of `imports` done, 0 to 1
 * @param {AbortSignal} [how.signal] ends the start at the next pause: loadPyodide rejects with its reason
 */
export function gently(options, { imports, stepMs = 50, onProgress, signal }) {
	const create = options.createPyodideModule ?? createPyodideModule;

	async function pause() {
		await nextTask();
		signal?.throwIfAborted();
	}

	async function createInSteps(settings) {
		const failed = pauseBetweenPhases(settings, pause);
		settings.preRun.unshift(keepLibrary);
		const module = await Promise.race([create(settings), failed]);
		const running = settings.exitCode === undefined && !settings.noInitialRun;
		if (!running || !module.API?.rawRun) return module; // what then, loadPyodide knows
		await pause();
		let began = performance.now();
		for (const [done, name] of imports.entries()) {
			// An expression: an import statement would leave names in __main__. A
			// failure here is left to Pyodide's own import, which reports it.
			module.API.rawRun(`__import__(${JSON.stringify(name)})`);
			if (performance.now() - began < stepMs) continue;
			onProgress?.((done + 1) / imports.length);
			await pause();
			began = performance.now();
		}
		await pause();
		module.API.rawRun("import _pyodide_core"); // Pyodide's own first statement
		await pause();
		return module;
	}

	return { ...options, createPyodideModule: createInSteps };
}

let failures = 0;

async function createPyodideModule(settings) {
	const url = settings.locateFile("pyodide.asm.mjs");
	let script;
	try {
		// A failed import is remembered by its address.
		script = await import(failures ? `${url}?retry=${failures}` : url);
	} catch (error) {
		failures++;
		throw error;
	}
	await nextTask(); // compiling the script was a step of its own
	return script.default(settings);
}

// Pyodide writes the library, which it has just downloaded for nothing else, to
// a file in memory: the file may keep those bytes, instead of a copy of them.
function keepLibrary({ FS }) {
	const { writeFile } = FS;
	FS.writeFile = (file, data, options) => {
		if (!/^\/lib\/python\d+\.zip$/.test(file)) return writeFile(file, data, options);
		FS.writeFile = writeFile;
		return writeFile(file, data, { canOwn: true, ...options });
	};
}

// Pauses before the instance is wired up and before the interpreter starts,
// which otherwise follow in the same task. Returns a promise that rejects when
// one of the two throws: Emscripten would then wait for ever.
function pauseBetweenPhases(settings, pause) {
	return new Promise((_, reject) => {
		const { instantiateWasm } = settings;
		if (instantiateWasm) {
			settings.instantiateWasm = (imports, done) =>
				instantiateWasm(imports, (instance, module) => {
					pause().then(() => done(instance, module)).catch(reject);
				});
		}
		settings.preRun = [
			...(settings.preRun ?? []),
			(module) => {
				module.addRunDependency("gentle");
				pause().then(() => module.removeRunDependency("gentle")).catch(reject);
			},
		];
	});
}
