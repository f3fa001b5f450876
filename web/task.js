// nextTask lets the browser do what is due. Unlike a timer it is not slowed
// down in a background tab.
export const nextTask = () =>
	new Promise((resolve) => {
		const { port1, port2 } = new MessageChannel();
		port1.onmessage = () => { port1.close(); resolve(); };
		port2.postMessage(null);
	});

/** whenIdle is for what nobody waits for. It returns what takes it back. */
export function whenIdle(fn) {
	if (!globalThis.requestIdleCallback) { // Safari
		const timer = setTimeout(fn, 200);
		return () => clearTimeout(timer);
	}
	const id = requestIdleCallback(fn, { timeout: 1000 });
	return () => cancelIdleCallback(id);
}
