// An Ending rejects whatever is under way when something has come to its end.
// Promise.race with one promise that stays pending would keep every value that
// it was ever raced against.
export class Ending {
	#waiting = new Set();

	/** reason is why it has come; undefined: it has not. */
	reason;

	come(reason) {
		if (this.reason) return;
		this.reason = reason;
		for (const reject of this.#waiting) reject(reason);
		this.#waiting.clear();
	}

	race(promise) {
		if (this.reason) return Promise.reject(this.reason);
		return new Promise((resolve, reject) => {
			this.#waiting.add(reject);
			Promise.resolve(promise).then(resolve, reject).finally(() => this.#waiting.delete(reject));
		});
	}
}
