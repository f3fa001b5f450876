// The loader: a participant's session in a page, and Pyodide under its
// protection. It is the JS face of loader.wasm (Go, wasmclient/cmd/loader),
// which speaks the protocol; loader.d.ts documents everything exported here.
//
//	import { connect } from "/initgrace/loader.js";
//	const session = await connect({ participant: "p1" });
//	const pyodide = await session.loadPyodide();

import { fault, report, text } from "./errors.js";
import { nextTask } from "./task.js";

export const version = "0.1.0";

const defaults = {
	timeoutMs: 30_000, // of connect
	callTimeoutMs: 30_000, // of one call
	sendTimeoutMs: 120_000, // of a message: longer than a seat is usually held
};

// The Go program -----------------------------------------------------------------

const programs = new Map(); // wasm address → Promise of a running program

// program starts loader.wasm, once for a page; after a failure it may be tried
// again.
function program(wasmURL, execURL) {
	if (!programs.has(wasmURL)) {
		const started = start(wasmURL, execURL);
		programs.set(wasmURL, started);
		started.catch(() => programs.delete(wasmURL));
	}
	return programs.get(wasmURL);
}

async function start(wasmURL, execURL) {
	const Go = await goSupport(execURL);
	const go = new Go();
	const instance = await instantiate(wasmURL, go.importObject);
	const running = { factory: null, sockets: new Set(), links: new Set() };
	let dead = false;
	const die = (cause) => {
		if (dead) return;
		dead = true;
		programs.delete(wasmURL);
		const err = fault("crashed", "the loader's program has ended: " + text(cause), cause);
		// Nobody answers on them any more, and the server must know.
		for (const ws of running.sockets) ws.close(4001, "the loader has crashed");
		for (const link of [...running.links]) link.crash(err);
	};
	const resume = go._resume;
	go._resume = function (...args) {
		try {
			return resume.apply(this, args);
		} catch (err) { // a trap; an orderly exit resolves run
			die(err);
			throw err;
		}
	};
	const ended = withGoGlobals(() => go.run(instance)); // runs until Go waits for the first time
	running.factory = globalThis.__initgrace;
	delete globalThis.__initgrace;
	ended.then(() => die("exit"), die);
	if (!running.factory) throw fault("wasm_unavailable", wasmURL + " is not the loader");
	if (running.factory.version !== version) {
		throw fault("version_mismatch", `loader.js is version ${version}, ${wasmURL} is version ` +
			`${running.factory.version}: reload the page, or serve both from one build`);
	}
	running.factory.track(() => trackNextSocket(running.sockets));
	return running;
}

const goGlobals = {}; // what wasm_exec.js put on globalThis
let execAttempts = 0;

// goSupport imports Go's wasm_exec.js and takes away the globals that it makes.
// Process and path, which it fakes for a browser, would have other libraries
// believe that they run in Node: Go gets them only while it starts.
async function goSupport(execURL) {
	if (!goGlobals.Go) {
		const { Go, process, path } = globalThis;
		try {
			// A failed import is remembered by its address.
			await import(execAttempts++ ? `${execURL}?retry=${execAttempts}` : execURL);
		} catch (err) {
			throw fault("wasm_unavailable", `${execURL}: ${text(err)}`, err);
		}
		for (const [name, before] of Object.entries({ Go, process, path })) {
			if (globalThis[name] === before && name !== "Go") continue; // the page's own
			goGlobals[name] = globalThis[name];
			if (before === undefined) delete globalThis[name];
			else globalThis[name] = before;
		}
	}
	return goGlobals.Go;
}

function withGoGlobals(f) {
	const names = ["process", "path"].filter((name) => goGlobals[name] && globalThis[name] === undefined);
	for (const name of names) globalThis[name] = goGlobals[name];
	try {
		return f();
	} finally {
		for (const name of names) delete globalThis[name];
	}
}

async function instantiate(url, imports) {
	try {
		const response = await fetch(url);
		if (!response.ok) throw new Error(`HTTP ${response.status}`);
		// Streaming insists on the MIME type, which not every server knows.
		const typed = response.headers.get("content-type")?.split(";")[0].trim() === "application/wasm";
		const source = typed && WebAssembly.instantiateStreaming
			? WebAssembly.instantiateStreaming(response, imports)
			: response.arrayBuffer().then((bytes) => WebAssembly.instantiate(bytes, imports));
		return (await source).instance;
	} catch (err) {
		throw fault("wasm_unavailable", `${url}: ${text(err)}`, err);
	}
}

// trackNextSocket gets hold of the WebSocket that Go is about to open, by
// standing in for the constructor until it is called, in the same task.
function trackNextSocket(sockets) {
	const Native = globalThis.WebSocket;
	globalThis.WebSocket = function (...args) {
		globalThis.WebSocket = Native;
		const ws = new Native(...args);
		sockets.add(ws);
		ws.addEventListener("close", () => sockets.delete(ws));
		return ws;
	};
}

// Connecting -----------------------------------------------------------------------

const pageId = uuid(); // of this document: a refresh is another page

function uuid() {
	if (crypto.randomUUID) return crypto.randomUUID();
	const bytes = crypto.getRandomValues(new Uint8Array(16)); // plain http in a lab
	return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

// tokens are kept for the tab, so that a refresh finds its session again.
function tokenStore(url, participant) {
	const key = `initgrace:${url}:${participant}`;
	const attempt = (f) => {
		try {
			return f() ?? undefined;
		} catch { // storage can be forbidden; a refresh is then a new session
			return undefined;
		}
	};
	return {
		get: () => attempt(() => sessionStorage.getItem(key)),
		set: (token) => attempt(() => sessionStorage.setItem(key, token)),
		clear: () => attempt(() => sessionStorage.removeItem(key)),
	};
}

export async function connect(options = {}) {
	const o = { ...defaults, ...options };
	if (typeof o.participant !== "string" || !o.participant) {
		throw fault("unauthorized", "connect: participant is missing");
	}
	const base = import.meta.url;
	const url = new URL(o.url ?? "/", globalThis.location?.href ?? base).href;
	o.signal?.throwIfAborted();
	const running = await program(
		new URL(o.wasmURL ?? "loader.wasm", base).href,
		new URL(o.wasmExecURL ?? "wasm_exec.js", base).href,
	);
	const kept = tokenStore(url, o.participant);
	const settings = {
		url, participant: o.participant, experiment: o.experiment, group: o.group,
		token: o.token ?? kept.get(), pageId: o.pageId ?? pageId, timeoutMs: o.timeoutMs,
		connectTimeoutMs: o.connectTimeoutMs, silenceMs: o.silenceMs, latencyMs: o.latencyMs,
		backoffMinMs: o.backoffMinMs, backoffMaxMs: o.backoffMaxMs, queueSize: o.queueSize, keep: o.keep,
	};
	try {
		return await dial(running, settings, o, kept);
	} catch (err) {
		// The kept token is of a server that has forgotten us.
		if (err.code !== "bad_token" || o.token !== undefined || settings.token === undefined) throw err;
		kept.clear();
		return dial(running, { ...settings, token: undefined }, o, kept);
	}
}

async function dial(running, settings, o, kept) {
	o.signal?.throwIfAborted();
	const link = new Link({ ...o, url: settings.url }, kept);
	const { session, cancel } = running.factory.dial(JSON.stringify(settings), link.receive);
	o.signal?.addEventListener("abort", cancel);
	running.links.add(link);
	try {
		link.open(await Promise.race([session, link.gone]), () => running.links.delete(link));
		return new Session(link);
	} catch (err) {
		running.links.delete(link);
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
		this.ended = null; // why
		this.lastLoad = undefined;
		this.seen = 0; // number of the last message given to listeners
		this.gone = new Promise((_, reject) => (this.lose = reject));
		this.gone.catch(() => {});
	}

	onPage = {
		pagehide: (e) => this.handle.hide(e.persisted),
		pageshow: (e) => e.persisted && this.handle.show(), // from the back/forward cache
		online: () => this.handle.retry(),
	};

	open(handle, forget) {
		this.pulse = new Pulse(this.url);
		if (this.session) this.pulse.say(this.session);
		this.handle = handle;
		this.forget = forget;
		void this.state; // there is always a last one
		for (const [event, fn] of Object.entries(this.onPage)) globalThis.addEventListener?.(event, fn);
		setTimeout(() => { this.flowing = true; this.deliver(); });
	}

	// receive is called by Go, with its stack below: nothing of the page's runs
	// in here.
	receive = (event, json) => {
		this.fresh = undefined;
		const data = json === undefined ? undefined : JSON.parse(json);
		if (event === "session") {
			this.kept.set(data.token);
			this.session = { participant: data.participant, token: data.token };
			this.pulse?.say(this.session);
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
		if (!this.ended) this.last = this.fresh ??= JSON.parse(this.handle.state());
		return this.last;
	}

	call(method, ...args) {
		if (this.ended) return Promise.reject(this.ended);
		return Promise.race([this.handle[method](...args), this.gone]);
	}

	end(err) {
		if (this.ended) return;
		this.ended = err;
		for (const [event, fn] of Object.entries(this.onPage)) globalThis.removeEventListener?.(event, fn);
		this.lose(err);
		this.pulse?.stop();
		this.forget?.();
	}

	// crash is the end when Go can not tell it any more.
	crash(err) {
		this.emitLocal("close", { ok: false, code: err.code, message: err.message });
		this.end(err);
	}

	// lease runs a function of the page's under a lease.
	async lease({ id, phase, expectedMs, unprotected = true, ackTimeoutMs }, run) {
		let result;
		await this.pulse.ready;
		const options = { id, phase, expectedMs, ackTimeoutMs, requireLease: !unprotected };
		const load = await this.call("load", JSON.stringify(options), async (progress) => {
			await nextTask(); // Go's stack is not to be blocked with the page
			this.pulse.say({ loading: true });
			try {
				result = await run(progress);
			} finally {
				this.pulse.say({ loading: false });
			}
		});
		this.lastLoad = JSON.parse(load);
		this.emitLocal("load", this.lastLoad);
		return result;
	}
}

// A Pulse is a worker that tells the server of the participant while the page's
// main thread is frozen (beat.js). Where there can be none, pongs have to do.
class Pulse {
	ready = undefined;

	constructor(url) {
		try {
			this.worker = new Worker(new URL("beat.js", import.meta.url));
		} catch { // another origin's, or forbidden by the page's policy
			return;
		}
		this.say({ url: new URL("initgrace/beat", url).href });
		// A worker starts only while the main thread is free.
		this.ready = new Promise((resolve) => {
			const late = setTimeout(resolve, 1000);
			this.worker.onmessage = () => {
				clearTimeout(late);
				resolve();
				this.say({}); // this thread runs
			};
			this.worker.onerror = (e) => {
				e.preventDefault();
				clearTimeout(late);
				resolve();
			};
		});
	}

	say(what) {
		this.worker?.postMessage(what);
	}

	stop() {
		this.worker?.terminate();
		this.worker = undefined;
	}
}

const json = (value) => (value === undefined ? undefined : JSON.stringify(value));

let pyodide; // Promise of what starts it

// starter comes after the connection, which does not need it.
const starter = () =>
	(pyodide ??= import("./pyodide/load.js").catch((err) => {
		throw fault("load_failed", `pyodide/load.js, which starts Pyodide, could not be loaded: ${text(err)}. Reload the page`, err);
	}));

class Session {
	#link;

	constructor(link) {
		this.#link = link;
		starter().catch(() => {}); // told to whoever loads
	}

	get participant() { return this.#link.state.participant; }
	get token() { return this.#link.state.token; }
	get restored() { return this.#link.state.restored; }
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

	async close() {
		if (!this.#link.ended) await this.#link.handle.close();
	}
}
