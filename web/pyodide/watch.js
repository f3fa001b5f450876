import { fault, text } from "../errors.js";

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
		for (const name of STARTUP) {
			if (setup.files[name]) this.sizes.set(setup.indexURL + name, setup.files[name]);
		}
		if (setup.compiled) {
			this.sizes.delete(this.#plainLibrary);
			this.sizes.set(setup.compiled.url, setup.compiled.size);
		}
		this.#replace(globalThis, "fetch", (fetch) => (...args) => this.#fetch(fetch, args));
		this.#replace(WebAssembly, "instantiateStreaming", (instantiate) => (source, ...rest) => {
			const done = instantiate.call(WebAssembly, source, ...rest);
			const ours = Promise.resolve(source).then((response) => this.#ours(response.url), () => true); // the download itself has failed
			done.catch(async (err) => {
				if (await ours) this.fail(err);
			});
			return done.then(async (instance) => {
				if (await ours) await this.on.instantiated();
				return instance;
			});
		});
		this.quiet = 0; // time without a byte, a block of the page not counted
		this.timer = setInterval(() => {
			this.quiet += 1000;
			if (this.quiet >= stallMs) this.fail(fault("load_stalled", `nothing has been loaded for ${stallMs / 1000} s`));
		}, 1000);
	}

	fail(err) {
		this.given ??= err;
		this.lose(err);
	}

	race(promise) {
		this.quiet = 0;
		return Promise.race([promise, this.failed]);
	}

	stop() {
		clearInterval(this.timer);
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
		if (url === this.setup.compiled?.url) return this.#library(get);
		if (!this.#ours(url)) return fetch.call(globalThis, resource, init);
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
	async #library(get) {
		const { url, sha256 } = this.setup.compiled;
		try {
			const response = await get(url);
			if (!response.ok) throw new Error(`HTTP ${response.status}`);
			const zip = await response.arrayBuffer();
			const found = await digest(zip);
			if (found && found !== sha256) throw new Error("it is damaged");
			return new Response(zip);
		} catch (err) {
			console.warn(`initgrace: ${url} is not used: ${text(err)}`);
			this.sizes.delete(url);
			this.bytes.delete(url);
			return get(this.#plainLibrary);
		}
	}

	async #watched(promise) {
		const response = await promise;
		if (!response.ok) this.refused.push(`${response.url}: HTTP ${response.status}`);
		// A copy is counted, so that the browser sees its own response: only
		// then does it keep the compiled WASM.
		else if (response.body) void this.#count(response.clone());
		this.quiet = 0;
		return response;
	}

	async #count({ url, body }) {
		let bytes = 0;
		try {
			for (const reader = body.getReader(); ; ) {
				const { done, value } = await reader.read();
				this.quiet = 0;
				if (done) break;
				bytes += value.byteLength;
				this.bytes.set(url, bytes);
				this.#tell(url);
			}
			this.arrived?.(url);
		} catch { // whoever reads the response itself is told
		}
	}

	#tell(url) {
		const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
		const bytes = sum([...this.bytes.values()]);
		const total = sum([...new Set([...this.sizes.keys(), ...this.bytes.keys()])].map(
			(file) => Math.max(this.sizes.get(file) ?? 0, this.bytes.get(file) ?? 0)));
		const known = this.sizes.size > 0 && [...this.bytes.keys()].every((file) => this.sizes.has(file));
		this.on.downloaded({ url, bytes, ...(known && { total, fraction: bytes / total }) });
	}
}

// digest is the SHA-256 in hex, or nothing where the browser does not offer it: on plain http.
async function digest(bytes) {
	if (!globalThis.crypto?.subtle) return undefined;
	const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
	return Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("");
}
