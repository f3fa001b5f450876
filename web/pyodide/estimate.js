// How long a load takes here: learnt from the last ones, per page and set of
// packages, so that the countdown that partners see is honest.

const KEPT = 3;

export class Estimate {
	/** @param {string[]} what is loaded: its parts, in order */
	constructor(what) {
		this.key = ["initgrace:load", globalThis.location?.pathname, ...what].join(" ");
	}

	/** The median of the last loads in milliseconds, the slower one of two; undefined: there was none. */
	get ms() {
		const took = this.#read();
		return took.toSorted((a, b) => a - b)[Math.floor(took.length / 2)];
	}

	learn(ms) {
		try {
			localStorage.setItem(this.key, JSON.stringify([...this.#read(), Math.round(ms)].slice(-KEPT)));
		} catch { // forbidden or full: the next load knows no better
		}
	}

	#read() {
		try {
			const took = JSON.parse(localStorage.getItem(this.key) ?? "[]");
			return Array.isArray(took) ? took.filter((ms) => ms > 0 && ms < 86_400_000) : [];
		} catch {
			return [];
		}
	}
}
