// One visit with an empty cache: from the navigation to the server's ack of a
// load, with one client. Long tasks are those of the main thread.
"use strict";

const query = new URLSearchParams(location.search);
const tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: "longtask", buffered: true });

const participant = query.get("participant");
const clients = {
	async socketio() {
		await new Promise((resolve, reject) => document.head.append(Object.assign(document.createElement("script"), {
			src: "socket.io.min.js", onload: resolve, onerror: reject,
		})));
		const socket = io({ transports: ["websocket"], auth: { participant } });
		await socket.emitWithAck("pyodide_loading_start", {});
	},
	async loader(host) {
		const { connect } = await import("/initgrace/loader.js");
		const session = await connect({ participant, host });
		if (session.host !== host) throw new Error(`the host is ${session.host}`);
		await session.emit("pyodide_loading_start", {});
	},
	worker: () => clients.loader("worker"),
	page: () => clients.loader("page"),
	async none() {},
};

globalThis.result = (async () => {
	await clients[query.get("client")]();
	const ack = performance.now();
	await new Promise((resolve) => setTimeout(resolve, 500)); // what follows counts as well
	const { duration: longest = 0 } = tasks.toSorted((a, b) => b.duration - a.duration)[0] ?? {};
	return { ack, long: tasks.length, longest, total: tasks.reduce((sum, t) => sum + t.duration, 0) };
})();
