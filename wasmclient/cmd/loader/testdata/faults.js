
// What goes wrong in a worker when the page's scene says so. It is served behind
// wasm_exec.js.
if (typeof DedicatedWorkerGlobalScope !== "undefined") {
	const { postMessage } = globalThis;
	const resume = globalThis.Go.prototype._resume;
	let trap = false;
	globalThis.Go.prototype._resume = function () {
		if (trap) {
			trap = false;
			throw new WebAssembly.RuntimeError("unreachable");
		}
		return resume.apply(this);
	};
	new BroadcastChannel("faults").onmessage = ({ data }) => {
		if (data === "trap") trap = true;
		else if (data === "die") close(); // without a word to the page
		else if (data === "loop") for (; ;);
		else globalThis.postMessage = (message) => {
			if (!message.event) return postMessage(message);
			globalThis.postMessage = postMessage;
			throw new Error("no messages today");
		};
	};
}
