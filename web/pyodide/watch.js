import { fault, text } from "../errors.js";
import { Aside } from "./aside.js";
import { count, whole } from "./download.js";

// What a start downloads, the scripts apart, which no fetch shows.
const STARTUP = ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"];

// A Watch notices what loadPyodide does not: it never settles when the WASM can
// not be instantiated, or when a download stands still. While it runs it stands
// in for fetch and WebAssembly.instantiateStreaming, for what belongs to the
// Pyodide that is loaded.
export class Watch {
	/**
	 * @param {object} setup see plan.js
	 * @param {number} stallMs
	 * @param {object} on downloaded(bytes) for each piece; instantiated(), awaited before the first block
	 */
	constructor(setup, stallMs, on) {
		this.setup = setup;
		this.on = on;
		this.refused = []; // responses that are not 2xx
		this.given = undefined; // why the load is given up
		this.failed = new Promise((_, reject) => (this.lose = reject));
		this.failed.catch(() => {});
		this.sizes = new Map(); // of the files to come, by address
		this.bytes = new Map(); // that have arrived, by address
		this.underway = new Set(); // promises of the downloads that have not ended
		this.modules = new WeakMap(); // compiled beside the page, by the response that stands for each
		for (const name of STARTUP) {
			if (setup.files[name]) this.sizes.set(setup.indexURL + name, setup.files[name]);
		}
		if (setup.compiled) {
			this.sizes.delete(this.#plainLibrary);
			this.sizes.set(setup.compiled.url, setup.compiled.size);
		}
		this.#replace(globalThis, "fetch", (fetch) => (...args) => this.#fetch(fetch, args));
		this.#replace(WebAssembly, "instantiateStreaming", (instantiate) => async (source, imports, ...rest) => {
			let ours = true; // the download itself has failed
			try {
				const response = await source;
				const module = this.modules.get(response);
				ours = module || this.#ours(response.url);
				const instance = module
					? { module, instance: await WebAssembly.instantiate(module, imports) }
					: await instantiate.call(WebAssembly, response, imports, ...rest);
				// The library may be on its way still, and so may be the count of what has arrived.
				while (ours && this.underway.size) await Promise.allSettled(this.underway);
				if (ours) await this.on.instantiated();
				this.moved();
				return instance;
			} catch (err) {
				if (ours) this.fail(err);
				throw err;
			}
		});
		this.quiet = 0; // time without a byte or a step, a block of the page not counted
		this.timer = setInterval(() => {
			this.quiet += 1000;
			if (this.quiet >= stallMs) this.fail(fault("load_stalled", `nothing has been loaded for ${stallMs / 1000} s`));
		}, 1000);
	}

	/** The big files are downloaded beside the page from now on. */
	downloadAside() {
		const { compiled: library } = this.setup;
		this.aside = new Aside({ library, wasm: this.#wasm }, (file, bytes) => this.#arrived(file === "wasm" ? this.#wasm : library.url, bytes));
	}

	/** Something went on that is no download: Python starts in steps. */
	moved() {
		this.quiet = 0;
	}

	fail(err) {
		this.given ??= err;
		this.lose(err);
	}

	race(promise) {
		this.moved();
		return Promise.race([promise, this.failed]);
	}

	stop() {
		clearInterval(this.timer);
		this.aside?.stop();
		for (const restore of this.restore.splice(0)) restore();
	}

	// explain adds what the browser's error leaves out.
	explain(err) {
		if (err?.name === "InitgraceError") return err;
		const why = [text(err), ...this.refused].join("; ");
		return fault("load_failed", `Pyodide could not be started: ${why}`, err);
	}

	restore = [];

	#replace(object, name, wrap) {
		const original = object[name];
		if (!original) return;
		const replacement = (object[name] = wrap(original));
		this.restore.push(() => {
			if (object[name] === replacement) object[name] = original;
		});
	}

	get #wasm() {
		return `${this.setup.indexURL}pyodide.asm.wasm`;
	}

	get #plainLibrary() {
		return `${this.setup.indexURL}python_stdlib.zip`;
	}

	// ours tells what belongs to the load. Without an indexURL that is everything.
	#ours(url) {
		return [this.setup.indexURL ?? "", ...this.setup.packageURLs].some((base) => url.startsWith(base));
	}

	async #fetch(fetch, [resource, init]) {
		const url = new URL(resource?.url ?? resource, globalThis.location?.href).href;
		const get = (url) => this.#watched(fetch.call(globalThis, url, init));
		if (url === this.setup.compiled?.url) return this.#until(this.#library(() => fetch.call(globalThis, url, init), get));
		if (!this.#ours(url)) return fetch.call(globalThis, resource, init);
		const signal = this.signal?.(url);
		if (signal) init = { ...init, signal };
		if (this.aside && url === this.#wasm) return this.#compiled(get);
		const [first, ...others] = this.setup.packageURLs;
		if (!others.length || !url.startsWith(first)) return get(resource);
		return this.#anywhere([first, ...others].map((base) => base + url.slice(first.length)), get);
	}

	// anywhere takes a package from the first place that has it.
	async #anywhere(urls, get) {
		for (const [i, url] of urls.entries()) {
			try {
				const response = await get(url);
				if (response.ok || i === urls.length - 1) return response;
			} catch (err) { // unreachable, or not what the lock file says
				if (i === urls.length - 1) throw err;
			}
		}
	}

	// library is the compiled library, or the plain one if it cannot be had whole.
	async #library(fetch, get) {
		const { compiled } = this.setup;
		const { url } = compiled;
		try {
			const { value, failed } = (await this.aside?.library) ?? {};
			if (failed) throw new Error(failed);
			const zip = value ?? (await whole(await fetch(), compiled, (bytes) => this.#arrived(url, bytes)));
			// A response made of it would hold a copy, and give another.
			return Object.assign(new Response(), { arrayBuffer: async () => zip });
		} catch (err) {
			console.warn(`initgrace: ${url} is not used: ${text(err)}`);
			this.sizes.delete(url);
			this.bytes.delete(url);
			return get(this.#plainLibrary);
		}
	}

	// compiled stands for the WASM that is compiled beside the page. What goes
	// wrong there is tried on the page, for the browser's own words.
	async #compiled(get) {
		const { value } = (await this.aside.wasm) ?? {};
		if (!value) return get(this.#wasm);
		const response = new Response();
		this.modules.set(response, value);
		return response;
	}

	#until(download) {
		this.underway.add(download);
		const over = () => this.underway.delete(download);
		download.then(over, over);
		return download;
	}

	async #watched(promise) {
		const response = await promise;
		const { ok, url, status, body } = response;
		if (!ok) this.refused.push(`${url}: HTTP ${status}`);
		else if (body) {
			this.#until(count(response, (bytes) => this.#arrived(url, bytes)))
				.then(() => this.arrived?.(url), () => {}); // whoever reads the response itself is told
		}
		this.moved();
		return response;
	}

	#arrived(url, count) {
		this.moved();
		this.bytes.set(url, count);
		const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
		const bytes = sum([...this.bytes.values()]);
		const total = sum([...new Set([...this.sizes.keys(), ...this.bytes.keys()])].map(
			(file) => Math.max(this.sizes.get(file) ?? 0, this.bytes.get(file) ?? 0)));
		const known = this.sizes.size > 0 && [...this.bytes.keys()].every((file) => this.sizes.has(file));
		this.on.downloaded({ url, bytes, ...(known && { total, fraction: bytes / total }) });
	}
}
