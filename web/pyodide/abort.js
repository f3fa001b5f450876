/** unlessAborted is what a promise becomes, or the signal's reason if that comes first. */
export async function unlessAborted(signal, promise) {
	signal?.throwIfAborted();
	if (!signal) return promise;
	let abort;
	try {
		return await Promise.race([promise, new Promise((_, reject) => {
			signal.addEventListener("abort", (abort = () => reject(signal.reason)));
		})]);
	} finally {
		signal.removeEventListener("abort", abort);
	}
}
