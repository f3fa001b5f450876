// The big downloads of a start in a worker (downloader.js), as the page sees it.

import { nextTask } from "../task.js";

const START_MS = 5000; // for the worker to say that it is there

/**
 * An Aside has the compiled library and the WASM downloaded beside the page.
 * Each becomes {value}, {failed: why}, or undefined: there is no worker here. When
 * it was stopped they become nothing more: nobody shall download them once more.
 */
export class Aside {
	#settle = {};
	#left = 2; // files under way
	library = new Promise((resolve) => (this.#settle.library = resolve));
	wasm = new Promise((resolve) => (this.#settle.wasm = resolve));

	/**
	 * @param {{library: {url: string, size: number, sha256: string}, wasm: string}} what
	 * @param {(file: "library" | "wasm", bytes: number) => void} arrived
	 */
	constructor(what, arrived) {
		try {
			this.worker = new Worker(new URL("downloader.js", import.meta.url), { type: "module", name: "initgrace downloads" });
		} catch { // another origin's, or forbidden by the page's policy
			return this.#absent();
		}
		this.worker.onerror = (e) => {
			e.preventDefault();
			this.#absent();
		};
		this.worker.onmessageerror = () => this.#absent();
		this.worker.onmessage = ({ data }) => {
			this.there = true;
			clearTimeout(this.late);
			const { file, bytes } = data;
			if (bytes !== undefined) arrived(file, bytes);
			else if (file) this.#settle[file](data), this.#left--;
		};
		this.worker.postMessage(what);
		this.late = setTimeout(() => nextTask().then(() => this.there || this.#absent()), START_MS);
	}

	/** Nobody waits for the files any more. A worker that has handed over everything ends by itself. */
	stop() {
		clearTimeout(this.late);
		if (this.#left) this.worker?.terminate();
	}

	#absent() {
		this.stop();
		this.#settle.library();
		this.#settle.wasm();
	}
}
