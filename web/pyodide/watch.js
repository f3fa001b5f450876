import { fault, report, text } from "../errors.js";

// A Watch notices what loadPyodide does not: it never settles when the WASM can
// not be instantiated, or when a download stands still. While it runs it stands
// in for fetch and WebAssembly.instantiateStreaming, for what is below indexURL.
export class Watch {
	constructor(indexURL, stallMs, onProgress) {
		this.indexURL = indexURL ?? "";
		this.onProgress = onProgress;
		this.refused = []; // responses that are not 2xx
		this.failed = new Promise((_, reject) => (this.fail = reject));
		this.failed.catch(() => {});
		this.#replace(globalThis, "fetch", (fetch) => (...args) => this.#fetch(fetch, args));
		this.#replace(WebAssembly, "instantiateStreaming", (instantiate) => (source, ...rest) => {
			const done = instantiate.call(WebAssembly, source, ...rest);
			done.catch(async (err) => {
				if (await this.#ours(source)) this.fail(err);
			});
			return done;
		});
		this.quiet = 0; // time without a byte, a block of the page not counted
		this.timer = setInterval(() => {
			this.quiet += 1000;
			if (this.quiet >= stallMs) this.fail(fault("load_stalled", `nothing has been loaded for ${stallMs / 1000} s`));
		}, 1000);
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

	async #ours(source) {
		try {
			return (await source).url.startsWith(this.indexURL);
		} catch { // the download itself has failed, and with it whoever asked
			return true;
		}
	}

	async #fetch(fetch, args) {
		const response = await fetch.apply(globalThis, args);
		if (!response.url.startsWith(this.indexURL)) return response;
		this.quiet = 0;
		if (!response.ok) this.refused.push(`${response.url}: HTTP ${response.status}`);
		return response.body ? this.#counted(response) : response;
	}

	// counted is the same response, its bytes counted on their way.
	#counted(response) {
		let bytes = 0;
		const body = response.body.pipeThrough(new TransformStream({
			transform: (chunk, out) => {
				this.quiet = 0;
				bytes += chunk.byteLength;
				out.enqueue(chunk);
				try {
					this.onProgress?.({ url: response.url, bytes });
				} catch (err) {
					report(err);
				}
			},
		}));
		const { status, statusText, headers, url } = response;
		return Object.defineProperty(new Response(body, { status, statusText, headers }), "url", { value: url });
	}
}
