// What the tests do in the page. Each function is one scene; what it returns
// goes back to the test as JSON.
import { connect, loadUnprotected } from "/initgrace/loader.js";

let session; // of scenes that follow each other
const events = [];

const caught = (promise) =>
	promise.then(
		(value) => ({ value: value ?? null }),
		(err) => ({ name: err.name, code: err.code, message: err.message }),
	);
const block = (ms) => {
	for (const end = performance.now() + ms; performance.now() < end; );
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const record = (...names) =>
	names.forEach((name) => session.on(name, (data) => events.push([name, data ?? null])));
const heard = async (name) => {
	while (!events.some((e) => e[0] === name)) await sleep(5);
	return events;
};

export async function open(options) {
	session = await connect({ participant: "p1", host: hostKind, backoffMinMs: 20, backoffMaxMs: 20, ...options });
	record("session", "early", "load", "reconnecting", "restored", "presence", "close");
	await sleep(0); // what came early has been delivered
	return properties();
}

export function properties() {
	const { participant, token, restored, expired, group, partners, policy, state, version, presence, connected, lastLoad, host } = session;
	return { participant, token, restored, expired, group, partners, policy, state, version, presence, connected, lastLoad, host, events };
}

export const openAsInAnotherTab = () => {
	sessionStorage.clear();
	return open();
};
export const until = (name) => heard(name).then(properties);
export const tryOpen = (options) => caught(open(options));
export const emit = ({ event, payload, ...options }) => caught(session.emit(event, payload, options));
export const send = (data) => caught(session.send(data));
export const join = (options) => caught(session.join(options ?? undefined));
export const save = (state) => caught(session.saveState(state)).then((r) => ({ ...r, now: properties() }));
export const close = () => session.close().then(() => caught(session.emit("x"))).then((r) => ({ ...r, now: properties() }));
export const globalsNow = async () => ({ process: typeof process, path: typeof path, Go: typeof Go, factory: typeof __initgrace, WebSocket: WebSocket.toString() });

// The page is blocked while Go is inside a call to JS, until the server has
// written its ack, and once more before the browser can hand that over. Go goes
// on between the two blocks and is called behind them, each time with deadlines
// passed and nothing read.
export function emitBlocked({ timeoutMs, blockMs, againMs }) {
	const { send } = WebSocket.prototype;
	WebSocket.prototype.send = function (frame) {
		WebSocket.prototype.send = send;
		send.call(this, frame);
		block(blockMs);
		const written = new XMLHttpRequest();
		written.open("GET", "/written", false);
		written.send();
		void Promise.resolve().then(() => block(againMs)).then(() => caught(session.emit("y")));
	};
	return caught(session.emit("x", {}, { timeoutMs }));
}

// The connection is lost, and the pause before the next attempt is long; but the
// browser says something.
export async function lostThen({ event }) {
	await open({ backoffMinMs: 60_000, backoffMaxMs: 60_000 });
	caught(session.emit("drop once"));
	await heard("reconnecting");
	const began = performance.now();
	(event === "online" ? globalThis : document).dispatchEvent(new Event(event, { bubbles: true }));
	await heard("restored");
	return performance.now() - began;
}

export function listeners() {
	const seen = [];
	const remove = session.on("n", (n) => seen.push(n));
	session.on("n", (n) => {
		if (n === 1) throw new Error("a listener's own fault");
	});
	session.on("n", (n) => {
		seen.push(-n);
		if (n === 2) remove();
	});
	return caught(session.emit("count")).then(() => sleep(50)).then(() => seen);
}

export const blocking = ({ ms, fail, ...options }) =>
	caught(
		session.blocking(
			"thinking",
			() => {
				block(ms);
				if (fail) throw Object.assign(new RangeError("own fault"), { code: "own" });
				return "thought";
			},
			options,
		),
	).then((r) => ({ ...r, now: properties() }));

// A page's own loadPyodide, that blocks as the real one does.
let loads = 0;
const own = (ms) => async () => {
	loads++;
	await sleep(10);
	block(ms);
	return { number: loads, loadPackage: () => { throw new Error("No known package"); } };
};
export async function loadTwice({ ms }) {
	const loadPyodide = own(ms);
	void session.preload({ loadPyodide });
	const [a, b] = await Promise.all([session.loadPyodide({ loadPyodide }), session.loadPyodide({ loadPyodide })]);
	const c = await session.loadPyodide({ loadPyodide });
	await session.preload();
	return { same: a === b && b === c, loads, now: properties() };
}

// Without a server at first, and then with one.
export async function loadAlone() {
	const phases = [];
	const alone = await loadUnprotected({ loadPyodide: own(0), init: (p) => (p.ready = true), onProgress: (p) => phases.push(p.phase) });
	await open();
	const found = await session.loadPyodide({ loadPyodide: own(0) });
	return { same: alone === found && found.ready, loads, phases };
}

// A load is called when a preload is over and its server has not heard of that.
export async function loadBehindPreload() {
	const loadPyodide = own(0);
	await open({ timeoutMs: undefined, callTimeoutMs: undefined }); // as if they were not there
	const before = new Promise((resolve) => {
		session.preload({ loadPyodide, init: () => setTimeout(resolve, 50) });
	});
	await before;
	const python = await session.loadPyodide({ loadPyodide, init: (python) => (python.ready = true) });
	await session.emit("x");
	return { ready: python.ready, loads };
}

// The session ends while Python starts, which goes on.
export async function endInLoad() {
	await open();
	const loadPyodide = async () => {
		await session.close();
		await sleep(50);
		return { number: ++loads };
	};
	const python = await session.loadPyodide({ loadPyodide });
	const again = await loadUnprotected({ loadPyodide });
	return { same: python === again, loads, closed: await caught(session.emit("x")) };
}

// The page does not wait for a session, and then for another one.
export async function connectTwice() {
	const controller = new AbortController();
	const first = caught(connect({ participant: "p1", host: hostKind, signal: controller.signal }));
	controller.abort(new Error("the page's own reason"));
	await open();
	const workers = async () => (await navigator.locks.query()).held.filter(({ name }) => name.startsWith("initgrace:")).length;
	while ((await workers()) !== 1) await sleep(10);
	return { first: await first, ...properties() };
}

export const loadOwn = ({ how, ...options }) => {
	const loadPyodide = {
		throws: () => { throw new TypeError("not a function, say"); },
		rejects: () => Promise.reject(new Error("rejected")),
		never: () => new Promise(() => {}),
		works: own(0),
	}[how];
	const init = how === "init" && (() => { throw new SyntaxError("in init"); });
	return caught(session.loadPyodide({ loadPyodide: loadPyodide ?? own(0), ...(init && { init }), ...options }));
};

// What a page loads when its preload has failed, and all that it needs besides.
export async function fallback({ fail }) {
	const preloaded = await caught(session.preload({ loadPyodide: () => Promise.reject(new Error("no preload")) }));
	const loaded = await caught(session.loadPyodide({
		loadPyodide: own(0),
		init: async () => {
			await sleep(50);
			await session.emit("environment");
			if (fail) throw new Error("no environment");
		},
	}));
	return { preloaded, loaded };
}

// The connection is lost while Python is preloaded, and the page loads it then.
export async function preloadReconnects() {
	const loadPyodide = own(0);
	const ahead = session.preload({
		loadPyodide,
		init: async () => {
			void caught(session.emit("drop once"));
			await heard("restored");
		},
	});
	await heard("restored");
	await Promise.all([session.loadPyodide({ loadPyodide }), ahead]);
	return loads;
}

// The real one.
export async function pyodide({ packages, ...options }) {
	const phases = new Set();
	const began = performance.now();
	const result = await caught(
		session.loadPyodide({
			packages,
			init: (py) => py.runPython("import sys; [1, 2][1] + sys.version_info.major"),
			onProgress: (p) => { if (p.url) phases.add(p.url.split("/").pop()); },
			...options,
		}).then((py) => py.runPython("sum(range(101))")),
	);
	return { ...result, took: performance.now() - began, files: [...phases].sort(), native: fetch.toString().includes("native") };
}

// A worker is told what to do wrong by faults.js, which the test adds to it.
const inWorker = (fault) => new BroadcastChannel("faults").postMessage(fault);

// The next thing that Go hands over throws, which panics in Go.
export function panic() {
	if (hostKind === "worker") {
		inWorker("panic");
		return sleep(100).then(() => caught(session.emit("now"))).then(() => heard("close")).then(properties);
	}
	const parse = JSON.parse;
	JSON.parse = () => {
		JSON.parse = parse;
		throw new Error("no JSON today");
	};
	caught(session.emit("now"));
	return heard("close").then(properties);
}

// The worker ends, and no event says so.
export async function died({ how }) {
	events.length = 0;
	// A second of the page's watch over its worker takes 100 ms.
	const { setInterval } = globalThis;
	globalThis.setInterval = (fn, ms) => setInterval(fn, ms / 10);
	await open({}).finally(() => (globalThis.setInterval = setInterval));
	const pending = caught(session.emit("never acknowledged"));
	await sleep(50);
	inWorker(how);
	return { pending: await pending, ...(await heard("close").then(properties)) };
}

// Go's program is made to trap, as an out-of-memory would.
export async function trapped() {
	if (hostKind === "worker") {
		await open({});
		const pending = caught(session.emit("never acknowledged"));
		await sleep(50);
		inWorker("trap");
		await sleep(100);
		const result = { call: await caught(session.emit("x")), pending: await pending, ...(await heard("close").then(properties)) };
		return { ...result, ...properties() };
	}
	await import("/initgrace/wasm_exec.js");
	const resume = Go.prototype._resume;
	let trap = false;
	Go.prototype._resume = function () {
		if (trap) throw new WebAssembly.RuntimeError("unreachable");
		return resume.apply(this);
	};
	await open({});
	const pending = caught(session.emit("never acknowledged"));
	await sleep(50);
	trap = true;
	const result = { call: await caught(session.emit("x")), pending: await pending, ...(await heard("close").then(properties)) };
	trap = false;
	return result;
}

export async function abort(options) {
	const controller = new AbortController();
	setTimeout(() => controller.abort(new Error("the page's own reason")), 100);
	return caught(connect({ participant: "p1", host: hostKind, signal: controller.signal, ...options }));
}
