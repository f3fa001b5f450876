// How a page learns that a worker has ended, however that came about: no event
// tells of one that ran out of memory, or closed itself. A lock (Web Locks) is
// given back whenever its owner ends. Browsers have them on HTTPS and on
// localhost only; elsewhere nothing is learnt.

/** hold is for the worker: it resolves with the name of the lock that it holds from then on, or not at all. */
export const hold = () =>
	new Promise((resolve) => {
		const name = `initgrace:${globalThis.crypto?.randomUUID?.()}`;
		globalThis.navigator?.locks?.request(name, () => (resolve(name), new Promise(() => {}))).catch(() => {});
	});

/** whenGone is for the page: it calls fn when the worker that holds the lock has ended. */
export const whenGone = (name, fn) => void navigator.locks.request(name, fn).catch(() => {}); // the page ends first
