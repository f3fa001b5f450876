// loader.wasm, a Go program, on this thread: the page's, or a worker's.

import { fault, text } from "./errors.js";

const programs = new Map(); // wasm address → Promise of a running program

// program starts loader.wasm, once for a thread; after a failure it may be tried
// again. Ahead, if there is one, has a socket for it.
export function program(wasmURL, execURL, version, ahead) {
	if (!programs.has(wasmURL)) {
		const started = start(wasmURL, execURL, version, ahead);
		programs.set(wasmURL, started);
		started.catch(() => programs.delete(wasmURL));
	}
	return programs.get(wasmURL);
}

async function start(wasmURL, execURL, version, ahead) {
	const compiled = compile(wasmURL); // while Go's support is loaded
	compiled.catch(() => {}); // told below
	const Go = await goSupport(execURL);
	const go = new Go();
	const instance = await WebAssembly.instantiate(await compiled, go.importObject);
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
	running.factory.track(() => trackNextSocket(running.sockets, ahead));
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

async function compile(url) {
	try {
		const response = await fetch(url);
		if (!response.ok) throw new Error(`HTTP ${response.status}`);
		// Streaming insists on the MIME type, which not every server knows.
		const typed = response.headers.get("content-type")?.split(";")[0].trim() === "application/wasm";
		return typed && WebAssembly.compileStreaming
			? await WebAssembly.compileStreaming(response)
			: await WebAssembly.compile(await response.arrayBuffer());
	} catch (err) {
		const remedy = /content security|csp/i.test(text(err))
			? "The content security policy has to allow 'wasm-unsafe-eval'"
			: "It has to be served beside loader.js, as it was built";
		throw fault("wasm_unavailable", `${url}: ${text(err)}. ${remedy}`, err);
	}
}

// trackNextSocket gets hold of the WebSocket that Go is about to open, by
// standing in for the constructor until it is called, in the same task.
function trackNextSocket(sockets, ahead) {
	const Native = globalThis.WebSocket;
	globalThis.WebSocket = function (...args) {
		globalThis.WebSocket = Native;
		const ws = ahead?.take(args[0]) ?? new Native(...args);
		sockets.add(ws);
		ws.addEventListener("close", () => sockets.delete(ws));
		// A close follows every error. Firefox tells one in the middle of a closing
		// handshake, and Go's handler of it would wait for that to end.
		ws.addEventListener("error", (e) => e.stopImmediatePropagation());
		return ws;
	};
}
