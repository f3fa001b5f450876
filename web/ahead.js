// A WebSocket that is opened while the Go program is on its way, which will want
// one to the same address: on a network the two take as long as each other.

const patience = 5000; // ms; half of what a server waits for the first word

// endpoint is the address that the program makes of a server's (wasmclient,
// endpoint); where it makes another one, this socket is of no use to it.
function endpoint(server) {
	const url = new URL(server);
	url.protocol = url.protocol.replace("http", "ws");
	if (url.pathname === "/") url.pathname = "/socket.io/";
	if (!url.pathname.endsWith("/")) url.pathname += "/";
	url.search = "?EIO=4&transport=websocket";
	url.hash = "";
	return url.href;
}

export class Ahead {
	#ws;
	#heard = []; // events that the program has yet to hear of
	#off = new AbortController();
	#timer;

	constructor(server) {
		try {
			this.#ws = new WebSocket(endpoint(server));
		} catch { // the program will find out, and tell
			return;
		}
		const hear = (e) => {
			e.stopImmediatePropagation();
			this.#heard.push(e);
		};
		for (const type of ["open", "message", "error", "close"]) {
			this.#ws.addEventListener(type, hear, { signal: this.#off.signal });
		}
		this.#timer = setTimeout(() => this.close(), patience);
	}

	/** take is the socket, if it leads to that address and lives; to whoever listens to it in this task it is a new one. */
	take(address) {
		const ws = this.#ws;
		if (!ws || ws.readyState > WebSocket.OPEN || ws.url !== new URL(address).href) return this.close();
		this.#ws = undefined;
		clearTimeout(this.#timer);
		queueMicrotask(() => {
			this.#off.abort();
			for (const e of this.#heard) ws.dispatchEvent(new e.constructor(e.type, e));
		});
		return ws;
	}

	close() {
		clearTimeout(this.#timer);
		this.#ws?.close();
		this.#ws = undefined;
	}
}
