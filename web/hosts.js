// Where loader.wasm runs: in a worker, whose sockets and timers go on while the
// page's main thread is frozen, or on the page, where there can be no such
// worker. To the page both are the same: dial() begins a session, and gives a
// handle to it.

import { clock } from "./clock.js";
import { fault } from "./errors.js";
import { whenGone } from "./lifeline.js";
import { program } from "./program.js";
import { nextTask, whenIdle } from "./task.js";

// A worker asks the page twice a second. If it has not for this many seconds in
// which the page itself ran, it has died, or is caught in a loop.
const SILENT = 20;

/**
 * startHost resolves with a host. Kind is "worker", "page", or "auto": a worker
 * if there can be one. Prepare is called while that starts, and resolves with what
 * will be given to dial() at first: a worker need not wait until the page hears
 * that its program has started.
 */
export async function startHost(kind, files, version, url, prepare) {
	const companion = new Companion({ url, ...(kind !== "page" && { ...files, version }) });
	try {
		if (kind !== "page") {
			try {
				return await WorkerHost.start(companion, prepare);
			} catch (err) {
				const final = ["crashed", "version_mismatch"].includes(err.code);
				if (final || kind === "worker") throw err;
				companion.forget();
			}
		}
		await nextTask(); // one of the page's tasks is as short as it can be
		await prepare();
		return new PageHost(companion, await program(files.wasmURL, files.execURL, version));
	} catch (err) {
		companion.stop();
		throw err;
	}
}

// A Companion is a worker beside the page (worker.js). It tells the server of
// the participant while the page is frozen; where there can be none, pongs have
// to do.
class Companion {
	working = false; // it has said something

	/** About is the server's url, and the program that the worker shall start, if any (worker.js). */
	constructor(about) {
		const address = new URL("worker.js", import.meta.url);
		address.hash = encodeURIComponent(JSON.stringify(about));
		try {
			this.worker = new Worker(address, { type: "module", name: "initgrace" });
		} catch { // another origin's, or forbidden by the page's policy
			this.ready = Promise.resolve();
			return;
		}
		this.ready = new Promise((resolve) => (this.settle = resolve));
		let silent = 0; // seconds, a block of the page not counted
		this.worker.onmessage = ({ data }) => {
			silent = 0;
			this.working = true;
			if (data.here) this.settle();
			else if (data.ask) this.post({}); // this thread runs
			else if (data.lifeline) this.#watch(data.lifeline);
			else this.take?.(data);
		};
		this.worker.onerror = (e) => {
			e.preventDefault();
			this.settle();
			this.take?.({ crash: { message: e.message || "the worker has failed" } });
		};
		this.timer = setInterval(() => {
			if (this.working && ++silent > SILENT) this.#lost(`the worker has been silent for ${SILENT} s`);
		}, 1000);
	}

	#watch(lifeline) {
		this.forgo = whenIdle(() => whenGone(lifeline, () => this.#lost("the worker has ended")));
	}

	// lost is the end of a worker that cannot tell of it.
	#lost(message) {
		if (!this.worker) return;
		this.worker.terminate(); // and with it its socket, on which nobody answers
		this.#done();
		this.take?.({ crash: { message } });
	}

	#done() {
		this.worker = undefined;
		clearInterval(this.timer);
		this.forgo?.();
	}

	/** A worker starts only while the main thread is free, so it is waited for; but not long. */
	within(ms) {
		return Promise.race([this.ready, new Promise((resolve) => setTimeout(resolve, ms))]);
	}

	post(message) {
		this.worker?.postMessage({ ...message, at: clock() });
	}

	say(what) {
		this.post({ say: what });
	}

	/** What was begun in the worker is not wanted any more. */
	forget() {
		this.take = undefined;
		this.post({ cancel: true });
	}

	/** The worker ends by itself when its sockets are closed; or else is ended. */
	stop() {
		const { worker } = this;
		if (!worker) return;
		this.post({ stop: true });
		this.#done();
		setTimeout(() => worker.terminate(), 3000);
	}
}

class PageHost {
	name = "page";

	constructor(companion, running) {
		this.companion = companion;
		this.running = running;
		this.ready = companion.within(1000);
	}

	dial(settings, link) {
		this.running.links.add((this.link = link));
		const { session, cancel } = this.running.factory.dial(JSON.stringify({ ...settings, host: this.name }), link.receive);
		const whole = (go) => ({
			...go,
			state: () => ({ ...JSON.parse(go.session()), ...JSON.parse(go.status()) }),
		});
		return { session: session.then(whole), cancel };
	}

	/** Whose beats the companion sends; a worker that runs the program knows. */
	know(session) {
		this.companion.say(session);
	}

	say(what) {
		this.companion.say(what);
	}

	stop() {
		this.running.links.delete(this.link);
		this.companion.stop();
	}
}

class WorkerHost {
	name = "worker";
	ready = undefined; // it is

	#answer; // takes whether the program has started
	#early; // what was dialled before that

	#calls = new Map(); // number → {resolve, reject}
	#runs = new Map(); // number of a load → what the page does in it
	#thrown = new Map(); // what that threw
	#last = 0;

	static async start(companion, prepare) {
		const failed = (message) => fault("worker_unavailable", "there is no worker here: " + message);
		if (!companion.worker) throw failed("it could not be made");
		const host = new WorkerHost(companion);
		const started = new Promise((resolve) => (host.#answer = resolve));
		await Promise.race([started, companion.within(10_000)]);
		// The page may have been blocked all that time; and one of its tasks is as
		// short as it can be.
		await nextTask();
		// The program is on its way by now, and this thread has nothing to do.
		const { settings, link, over } = await prepare();
		host.#early = host.dial(settings, link);
		over.addEventListener("abort", host.#early.cancel);
		host.#early.session.catch(() => {}); // told to whoever dials
		const result = companion.working ? await started : await Promise.race([started, undefined]);
		if (!result) throw failed("it did not start in time");
		if (result.crash) throw failed(result.crash.message);
		if (result.failed) throw fault(result.failed.code, result.failed.message);
		return host;
	}

	constructor(companion) {
		this.companion = companion;
		companion.take = (m) => this.#take(m);
	}

	dial(settings, link) {
		const early = this.#early;
		this.#early = undefined;
		if (early) return early;
		this.link = link;
		const session = this.#call("dial", { ...settings, host: this.name }).then(() => this.#handle());
		return { session, cancel: () => this.companion.post({ cancel: true }) };
	}

	say(what) {
		this.companion.say(what);
	}

	stop() {
		this.companion.stop();
		for (const { method, resolve, reject } of this.#calls.values()) {
			if (method === "close") resolve();
			else reject(fault("closed", "the session was closed"));
		}
		this.#calls.clear();
	}

	#handle() {
		const handle = {
			state: () => ({ ...JSON.parse(this.session), ...JSON.parse(this.status) }),
			load: (options, run) => {
				const n = this.#last + 1;
				this.#runs.set(n, run);
				return this.#call("load", options).finally(() => {
					this.#runs.delete(n);
					this.#thrown.delete(n);
				});
			},
			hide: (persisted) => {
				this.companion.post({ hide: persisted });
				// The worker may not come to it any more.
				const { url, session } = this.link;
				navigator.sendBeacon?.(new URL("initgrace/pagehide", url), JSON.stringify(session));
			},
			show: () => this.companion.post({ show: true }),
			retry: () => this.companion.post({ retry: true }),
		};
		for (const method of ["emit", "send", "save", "close"]) handle[method] = (...args) => this.#call(method, ...args);
		return handle;
	}

	#call(method, ...args) {
		return new Promise((resolve, reject) => {
			this.#calls.set(++this.#last, { method, resolve, reject });
			this.companion.post({ call: this.#last, method, args });
		});
	}

	#take(m) {
		this.session = m.session ?? this.session;
		this.status = m.status ?? this.status;
		if (this.#answer && (m.started || m.failed || m.crash)) {
			this.#answer(m);
			this.#answer = undefined;
			return;
		}
		if (m.crash) this.link.crash(fault("crashed", m.crash.message));
		else if (m.event) this.link.receive(m.event, m.json);
		else if (m.run) this.#run(m.run, m.protected);
		else if (m.result) this.#settle(m);
	}

	#settle({ result, value, error, own }) {
		const { resolve, reject } = this.#calls.get(result) ?? {};
		this.#calls.delete(result);
		if (own) reject?.(this.#thrown.get(result));
		else if (error) reject?.(fault(error.code, error.message));
		else resolve?.(value);
	}

	async #run(n, leased) {
		try {
			await this.#runs.get(n)((...args) => this.#call("progress", n, ...args), leased);
			this.companion.post({ ran: n });
		} catch (err) {
			this.#thrown.set(n, err);
			this.companion.post({ ran: n, error: { name: String(err?.name ?? ""), message: String(err?.message ?? err) } });
		}
	}
}
