// The loader: a participant's session in a page, and Pyodide under its
// protection. It is the JS face of loader.wasm (Go, wasmclient/cmd/loader),
// which speaks the protocol; loader.d.ts documents everything exported here.
//
//	import { connect } from "/initgrace/loader.js";
//	const session = await connect({ participant: "p1" });
//	const pyodide = await session.loadPyodide();

import { Ending } from "./ending.js";
import { fault, report, text } from "./errors.js";
import { startHost } from "./hosts.js";
import { nextTask, whenIdle } from "./task.js";

export const version = "0.1.0";

const defaults = {
	host: "auto",
	timeoutMs: 30_000, // of connect
	callTimeoutMs: 30_000, // of one call
	sendTimeoutMs: 120_000, // of a message: longer than a seat is usually held
};

// Connecting -----------------------------------------------------------------------

const pageId = uuid(); // of this document: a refresh is another page

function uuid() {
	if (crypto.randomUUID) return crypto.randomUUID();
	const bytes = crypto.getRandomValues(new Uint8Array(16)); // plain http in a lab
	return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

// tokens are kept in the browser, so that a refresh or another tab finds its
// session again, also where nothing but the token leads to it.
function tokenStore(url, participant) {
	const key = `initgrace:${url}:${participant}`;
	const attempt = (f) => {
		try {
			return f() ?? undefined;
		} catch { // storage can be forbidden
			return undefined;
		}
	};
	return {
		open: () => attempt(() => void localStorage), // takes a while at first, and so does get
		get: () => attempt(() => localStorage.getItem(key)),
		set: (token) => attempt(() => localStorage.setItem(key, token)),
		clear: () => attempt(() => localStorage.removeItem(key)),
	};
}

const addressOf = (url) => new URL(url ?? "/", globalThis.location?.href ?? import.meta.url).href;

export async function connect(options = {}) {
	const o = { ...options };
	for (const name in defaults) o[name] ??= defaults[name];
	if (typeof o.participant !== "string" || !o.participant) {
		throw fault("unauthorized", "connect: participant is missing");
	}
	const base = import.meta.url;
	const url = addressOf(o.url);
	o.signal?.throwIfAborted();
	if (!["worker", "page", "auto"].includes(o.host)) throw fault("invalid_payload", "connect: host is worker, page or auto");
	const began = performance.now();
	if (o.prefetch) starter().then(({ prefetch }) => prefetch(url, o.prefetch)).catch(() => {}); // told to whoever loads
	const kept = tokenStore(url, o.participant);
	const settings = {
		url, participant: o.participant, experiment: o.experiment, group: o.group,
		token: o.token, pageId: o.pageId ?? pageId, timeoutMs: o.timeoutMs,
		connectTimeoutMs: o.connectTimeoutMs, silenceMs: o.silenceMs, latencyMs: o.latencyMs,
		backoffMinMs: o.backoffMinMs, backoffMaxMs: o.backoffMaxMs, queueSize: o.queueSize, keep: o.keep,
	};
	const link = new Link({ ...o, url }, kept);
	const over = new AbortController(); // nobody waits for the host any more
	const prepare = async () => {
		kept.open();
		await nextTask();
		settings.token ??= kept.get();
		await nextTask();
		over.signal.throwIfAborted();
		return { settings, link, over: over.signal };
	};
	const host = await inTime(startHost(o.host, {
		wasmURL: new URL(o.wasmURL ?? "loader.wasm", base).href,
		execURL: new URL(o.wasmExecURL ?? "wasm_exec.js", base).href,
	}, version, url, prepare), o, over);
	settings.timeoutMs = Math.max(1, o.timeoutMs - (performance.now() - began));
	try {
		return await dial(host, settings, o, link).catch((err) => {
			// The kept token is of a server that has forgotten us.
			if (err?.code !== "bad_token" || o.token !== undefined || settings.token === undefined) throw err;
			kept.clear();
			return dial(host, { ...settings, token: undefined }, o, new Link({ ...o, url }, kept));
		});
	} catch (err) {
		host.stop();
		throw err;
	}
}

// inTime is a host that has started, unless that takes too long.
async function inTime(starting, { signal, timeoutMs }, over) {
	let timer, abort;
	try {
		return await Promise.race([starting, new Promise((_, reject) => {
			timer = setTimeout(() => reject(fault("unreachable", `connect: the loader could not be downloaded within ${timeoutMs / 1000} s. ` +
				"Check the connection to its server, and try again")), Math.min(timeoutMs, 2 ** 31 - 1));
			signal?.addEventListener("abort", (abort = () => reject(signal.reason)));
		})]);
	} catch (err) {
		over.abort();
		starting.then((host) => host.stop(), () => {});
		throw err;
	} finally {
		clearTimeout(timer);
		signal?.removeEventListener("abort", abort);
	}
}

async function dial(host, settings, o, link) {
	o.signal?.throwIfAborted();
	link.host = host;
	const { session, cancel } = host.dial(settings, link);
	o.signal?.addEventListener("abort", cancel);
	try {
		link.open(await link.ending.race(session));
		return new Session(link);
	} catch (err) {
		throw o.signal?.aborted ? o.signal.reason : err;
	} finally {
		o.signal?.removeEventListener("abort", cancel);
	}
}

// A Link is the way between a Session and the Go program: calls one way, events
// the other, and the end of both.
class Link {
	constructor(o, kept) {
		this.callTimeoutMs = o.callTimeoutMs;
		this.sendTimeoutMs = o.sendTimeoutMs;
		this.url = o.url;
		this.kept = kept;
		this.listeners = new Map(Object.entries(o.on ?? {}).map(([event, fn]) => [event, new Set([fn])]));
		this.queue = [];
		this.flowing = false; // events wait until whoever called connect could say `on`
		this.lastLoad = undefined;
		this.seen = 0; // number of the last message given to listeners
		this.ending = new Ending();
	}

	onPage = {
		pagehide: (e) => this.handle.hide(e.persisted),
		pageshow: (e) => e.persisted && this.handle.show(), // from the back/forward cache
		online: () => this.handle.retry(),
		visibilitychange: () => globalThis.document?.visibilityState === "visible" && this.handle.retry(),
	};

	open(handle) {
		this.handle = handle;
		void this.state; // there is always a last one
		setTimeout(async () => {
			if (!this.ended) for (const [event, fn] of Object.entries(this.onPage)) globalThis.addEventListener?.(event, fn);
			await nextTask();
			this.kept.set(this.session.token);
			this.flowing = true;
			this.deliver();
		});
	}

	// receive is called by Go, with its stack below: nothing of the page's runs
	// in here.
	receive = (event, json) => {
		this.fresh = undefined;
		const data = json === undefined ? undefined : JSON.parse(json);
		if (event === "session") {
			this.session = { participant: data.participant, token: data.token };
			this.host?.know?.(this.session);
			if (this.flowing) void nextTask().then(() => this.kept.set(data.token));
		}
		if (event === "close" && this.handle) void this.state; // it stays readable
		this.emitLocal(event, data);
		if (event === "close") this.end(fault(data.code, data.message));
	};

	emitLocal(event, data) {
		this.queue.push([event, data]);
		if (this.flowing) queueMicrotask(() => this.deliver());
	}

	deliver() {
		for (let next; (next = this.queue.shift()); ) {
			if (next[0] === "message") this.seen = next[1].seq ?? this.seen;
			for (const fn of [...(this.listeners.get(next[0]) ?? [])]) {
				try {
					fn(next[1]);
				} catch (err) {
					report(err);
				}
			}
		}
	}

	on(event, fn) {
		if (typeof fn !== "function") throw new TypeError("on: the listener is not a function");
		if (!this.listeners.has(event)) this.listeners.set(event, new Set());
		this.listeners.get(event).add(fn);
		return () => void this.listeners.get(event).delete(fn);
	}

	// state is what Go knows, asked once after each event.
	get state() {
		if (!this.ended) this.last = this.fresh ??= this.handle.state();
		return this.last;
	}

	call(method, ...args) {
		if (this.ended) return Promise.reject(this.ended);
		return this.ending.race(this.handle[method](...args));
	}

	get ended() {
		return this.ending.reason;
	}

	end(err) {
		if (this.ended) return;
		this.ending.come(err);
		for (const [event, fn] of Object.entries(this.onPage)) globalThis.removeEventListener?.(event, fn);
		if (this.handle) this.host.stop(); // before that, connect may try again
	}

	// crash is the end when Go can not tell it any more.
	crash(err) {
		this.emitLocal("close", { ok: false, code: err.code, message: err.message });
		this.end(err);
	}

	// lease runs a function of the page's under a lease. When the session ends, what
	// has begun goes on, unprotected.
	async lease({ id, phase, expectedMs, unprotected = true, ackTimeoutMs }, run) {
		let result, running;
		await this.host.ready;
		const options = { id, phase, expectedMs, ackTimeoutMs, requireLease: !unprotected };
		const load = await this.call("load", JSON.stringify(options), async (progress) => {
			await nextTask(); // Go's stack is not to be blocked with the page
			this.host.say({ loading: true });
			try {
				result = await (running = run(progress));
			} finally {
				this.host.say({ loading: false });
			}
		}).catch((err) => {
			if (!this.ended || !running) throw err;
		});
		if (!load) return running;
		this.lastLoad = JSON.parse(load);
		this.emitLocal("load", this.lastLoad);
		return result;
	}
}

const json = (value) => (value === undefined ? undefined : JSON.stringify(value));

let pyodide; // Promise of what starts it
let failures = 0; // of that; some browsers remember one by its address

// starter comes after the connection, which does not need it.
const starter = () =>
	(pyodide ??= (failures ? import(`./pyodide/load.js?retry=${failures}`) : import("./pyodide/load.js")).catch((err) => {
		failures++;
		pyodide = undefined;
		throw fault("load_failed", `pyodide/load.js, which starts Pyodide, could not be loaded: ${text(err)}. ` +
			"Check the connection to its server, and try again", err);
	}));

export async function loadUnprotected({ url, ...options } = {}) {
	const { loadPyodide } = await starter();
	return loadPyodide({ url: addressOf(url), emitLocal() {}, lease: (o, run) => run(async () => {}) }, options);
}

class Session {
	#link;

	constructor(link) {
		this.#link = link;
		whenIdle(() => starter().catch(() => {})); // told to whoever loads
	}

	get participant() { return this.#link.state.participant; }
	get token() { return this.#link.state.token; }
	get restored() { return this.#link.state.restored; }
	get host() { return this.#link.host.name; }
	get expired() { return this.#link.state.expired ?? false; }
	get group() { return this.#link.state.group; }
	get partners() { return this.#link.state.partners ?? []; }
	get policy() { return this.#link.state.policy; }
	get version() { return this.#link.state.version; }
	get presence() { return this.#link.state.presence.state || "active"; }
	get connected() { return !this.#link.ended && this.#link.state.connected; }
	get latencyMs() { return this.#link.state.latency_ms; }
	get maxLatencyMs() { return this.#link.state.max_latency_ms; }
	get experiment() { return this.#link.state.experiment; }
	get condition() { return this.#link.state.condition; }
	get scenes() { return this.#link.state.scenes ?? []; }
	get packages() { return this.#link.state.packages ?? []; }
	get outcome() { return this.#link.state.outcome; }
	get lastLoad() { return this.#link.lastLoad; }
	get state() {
		const { scene_id, stager_state = null, globals = null } = this.#link.state;
		return { scene_id, stager_state, globals };
	}

	on(event, fn) {
		return this.#link.on(event, fn);
	}

	async emit(event, payload, { timeoutMs = this.#link.callTimeoutMs } = {}) {
		const ack = await this.#link.call("emit", event, json(payload), timeoutMs);
		return ack === undefined ? undefined : JSON.parse(ack);
	}

	async send(data, { timeoutMs = this.#link.sendTimeoutMs, latest, volatile, group } = {}) {
		if (data === undefined) throw fault("invalid_payload", "send: data is missing");
		return JSON.parse(await this.#link.call("send", json(data), json({ latest, volatile, group }), timeoutMs));
	}

	join({ size } = {}, options) {
		return this.emit("join", { size }, options);
	}

	finish(options) {
		return this.emit("finish", {}, options);
	}

	answer(choice, options) {
		return this.emit("answer", { choice }, options);
	}

	barrier(name, { timeoutMs = 600_000 } = {}) {
		return this.emit("barrier", { name, timeout_ms: timeoutMs }, { timeoutMs: timeoutMs + 10_000 }); // the server's word first
	}

	async saveState({ scene_id = "", stager_state = null, globals = null } = {}, options = {}) {
		const { timeoutMs = this.#link.callTimeoutMs, seq = this.#link.seen } = options;
		const version = await this.#link.call("save", json({ scene_id, stager_state, globals }), timeoutMs, seq);
		this.#link.fresh = undefined;
		return version;
	}

	blocking(name, fn, options = {}) {
		return this.#link.lease({ phase: name, ...options, id: undefined }, () => fn());
	}

	loadPyodide(options = {}) {
		return starter().then(({ loadPyodide }) => loadPyodide(this.#link, options));
	}

	preload(options = {}) {
		const ahead = starter().then(({ preload }) => preload(this.#link, options));
		ahead.catch(() => {}); // a load tries again, and tells
		return ahead;
	}

	async close() {
		if (!this.#link.ended) await this.#link.handle.close();
	}
}
