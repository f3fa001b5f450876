// The worker beside a page. It is there for what must go on while the page's
// main thread is frozen:
//
// It beats: a POST from here comes all the way from the participant's machine,
// where a WebSocket pong may be a proxy's. Beats are sent while a load is open or
// the page is silent, and say for how long the page has been.
//
// It runs the Go program and holds its socket, when its address says so: then it
// also tells the server of the page, and measures how long the page was blocked
// in a load.
//
// The page is asked twice a second, and forty times during a load. Whatever it
// posts is an answer, and says when it was given. With {say} it tells what beats
// need and this thread does not know.

import { Ahead } from "./ahead.js";
import { clock } from "./clock.js";
import { text } from "./errors.js";
import { hold } from "./lifeline.js";
import { program } from "./program.js";

const every = 1000; // ms between two beats, and the silence that begins them
const pause = 25; // ms between two questions during a load
const least = 100; // ms that count as a block

// What to do is in this worker's address (hosts.js): a message would wait until
// the page's thread has time for it.
const about = JSON.parse(decodeURIComponent(location.hash.slice(1)));

const page = { url: new URL("initgrace/beat", about.url).href };
let heard = clock(); // when the page ran last
let asked; // when it was asked what it has not answered
let next; // timer of the next question
const blocks = new Map(); // of the loads under way, by number: {total, longest}

onmessage = ({ data }) => {
	// It was blocked if it kept a question waiting: on a busy machine this thread
	// comes late as well.
	if (data.at - asked >= least) {
		const blocked = data.at - heard - pause;
		for (const b of blocks.values()) {
			b.total += blocked;
			b.longest = Math.max(b.longest, blocked);
		}
	}
	heard = data.at;
	if (data.say) Object.assign(page, data.say);
	else take(data);
	handle?.alive();
	asked = undefined;
	clearTimeout(next);
	next = setTimeout(ask, blocks.size ? pause : every / 2);
};

function ask() {
	if (asked) return;
	asked = clock();
	postMessage({ ask: true });
}
ask();
postMessage({ here: true }); // the page goes on in a task of its own
hold().then((lifeline) => postMessage({ lifeline }));

setInterval(() => {
	const silent = clock() - heard;
	if (!page.token || !(page.loading || silent > every)) return;
	// Nobody waits for the answer: in some browsers it arrives only when the
	// page runs again. It is not read, so that any origin may ask ("no-cors").
	// But it is not waited for for ever: browsers have six connections to a
	// server, and a network that has gone silent would soon hold them all, also
	// when there is another one.
	fetch(page.url, {
		method: "POST", mode: "no-cors", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(4 * every),
		body: JSON.stringify({
			participant: page.participant, token: page.token, page_silent_ms: Math.round(silent),
		}),
	}).catch(() => {});
}, every);

// The Go program ------------------------------------------------------------------

let starting; // Promise of the running program
let running;
let handle; // of the session
let abort;
let ahead; // a socket for the program
let cancelled = false;
let told; // the session's state as the page knows it
const steps = new Map(); // number of a load → its progress()
const runs = new Map(); // → how to settle what the page does in it
const failures = new Map(); // → what that threw, as an error of this thread

function take(m) {
	if (m.call) return call(m.call, m.method, m.args);
	if (m.ran) return ran(m.ran, m.error);
	if (m.cancel) return cancel();
	if (m.stop) return stop();
	if (m.retry) return handle?.retry();
	if (m.show) return handle?.show();
	if ("hide" in m) return handle?.hide(m.hide);
}

async function start({ wasmURL, execURL, version, url }) {
	ahead = new Ahead(url);
	try {
		running = await (starting = program(wasmURL, execURL, version, ahead));
		running.links.add({ crash: ({ message }) => ((handle = undefined), postMessage({ crash: { message } })) });
		postMessage({ started: true });
	} catch (err) {
		ahead.close();
		postMessage({ failed: { code: err.code, message: text(err) } });
	}
}

if (about.wasmURL) start(about);

function cancel() {
	cancelled = true;
	ahead?.close();
	abort?.();
}

async function stop() {
	cancel();
	await handle?.close(); // the page has given up before it heard of the session
	handle = undefined;
	const closed = (ws) => new Promise((resolve) => ws.addEventListener("close", resolve));
	await Promise.all([...(running?.sockets ?? [])].map(closed));
	close();
}

// state is what the page shows as the session's properties: the session itself
// only if it has changed.
function state(always) {
	if (!handle) return {};
	const session = always ? handle.session() : told;
	const changed = session !== told;
	told = session;
	return { status: handle.status(), ...(changed && { session }) };
}

const frequent = new Set(["pong", "message", "partner_state", "presence"]); // none of them changes the session

function receive(event, json) {
	if (event === "session") {
		const { participant, token } = JSON.parse(json);
		Object.assign(page, { participant, token });
	}
	postMessage({ event, json, ...state(!frequent.has(event)) });
	if (event === "close") handle = undefined;
}

const methods = {
	async dial(n, settings) {
		const asked = performance.now();
		const { factory } = await starting;
		if (cancelled) throw Object.assign(new Error("aborted by the page"), { code: "aborted" });
		const timeoutMs = Math.max(1, settings.timeoutMs - (performance.now() - asked));
		const { session, cancel } = factory.dial(JSON.stringify({ ...settings, timeoutMs }), receive);
		abort = cancel;
		try {
			handle = await session;
		} finally {
			abort = undefined; // it is of no use any more
		}
	},
	emit: (n, ...args) => handle.emit(...args),
	send: (n, ...args) => handle.send(...args),
	save: (n, ...args) => handle.save(...args),
	close: () => handle.close(),
	progress: (n, load, ...args) => steps.get(load)?.(...args),
	load: (n, options) => handle.load(options, (progress, leased) => {
		steps.set(n, progress);
		blocks.set(n, { total: 0, longest: 0 });
		heard = clock();
		postMessage({ run: n, protected: leased });
		ask();
		return new Promise((resolve, reject) => runs.set(n, { resolve, reject }));
	}).finally(() => {
		for (const map of [steps, runs, blocks]) map.delete(n);
	}),
};

async function call(n, method, args) {
	try {
		if (!handle && method !== "dial") throw Object.assign(new Error("the session was closed"), { code: "closed" });
		const value = await methods[method](n, ...args);
		postMessage({ result: n, value, ...state(method === "dial" || method === "save") });
	} catch (err) {
		const own = failures.get(n) === err;
		postMessage({ result: n, own, error: { code: err.code ?? "internal", message: text(err) } });
	}
	failures.delete(n);
}

function ran(n, error) {
	const { total, longest } = blocks.get(n) ?? {};
	if (error) {
		const err = Object.assign(new Error(error.message), { name: error.name });
		failures.set(n, err);
		err.blockedMs = total;
		err.longestBlockMs = longest;
		runs.get(n)?.reject(err);
	} else {
		runs.get(n)?.resolve({ blockedMs: total, longestBlockMs: longest });
	}
}
