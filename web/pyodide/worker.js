// The worker in which Pyodide runs if the page asks for one; remote.js is the
// page's side.

import { text } from "../errors.js";
import { hold } from "../lifeline.js";
import { expose, proxy, transferHandlers } from "../vendor/comlink.js";
import { addPackages, startPyodide } from "./start.js";

let python;
let adding; // gives up what is added

// A Python object cannot cross: data goes as a copy, a function as one that
// can be called from there. First of all handlers: the others look for symbols
// in what they are asked about, at which a dict raises.
const others = [...transferHandlers];
transferHandlers.clear();
transferHandlers.set("python", {
	canHandle: (value) => python !== undefined && value instanceof python.ffi.PyProxy,
	serialize(object) {
		if (object instanceof python.ffi.PyCallable) {
			const { port1, port2 } = new MessageChannel();
			expose((...args) => object(...args), port1);
			return [{ callable: port2 }, [port2]];
		}
		if (object === python.globals || object === python.pyodide_py) return [{}, []]; // they are Pyodide's own
		try {
			const value = object.toJs({ dict_converter: Object.fromEntries, create_pyproxies: false });
			return [{ value }, []];
		} finally {
			object.destroy();
		}
	},
	deserialize: () => undefined, // none comes back
});
for (const [name, handler] of others) transferHandlers.set(name, handler);

// attempt resolves with why it failed, since an Error crosses without its code.
const attempt = (promise) => promise.then(() => {}, (err) => ({ code: err.code ?? "load_failed", message: text(err) }));

expose({
	start: (setup, packages, o, stages, alive) => {
		void hold().then(alive);
		return attempt(startPyodide(setup, packages, o, stages).then((started) => (python = started)));
	},
	add: (setup, packages, o, stages) => {
		adding = new AbortController();
		return attempt(addPackages(python, setup, packages, { ...o, signal: adding.signal }, stages));
	},
	giveUp: () => adding?.abort(),
	python: () => proxy(python),
});
