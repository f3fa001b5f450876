// The drop-in: an existing page changes nothing but this line, before or after
// the one that loads pyodide.js.
//
//	<script src="/initgrace/auto.js" data-participant-param="PROLIFIC_PID"></script>
//
// From then on the page's own loadPyodide() asks the server for a lease before
// the page freezes. Where the server cannot be reached it loads all the same,
// unprotected, after a few seconds; and at once when the session has ended.
// Attributes, all optional:
//
//	data-participant-param   parameter of the page's address that names the
//	                         participant; default PROLIFIC_PID
//	data-participant         the participant itself
//	data-experiment, data-group, data-phase
//	data-url                 address of the server; default: where this script is from
//	data-wait-ms             how long a load waits for the server; default 5000
//
// globalThis.initgrace is a promise of the session (loader.d.ts). The window
// hears "initgrace:ready" {session}, "initgrace:load" (how a load went) and
// "initgrace:unprotected" {code, message}.
//
// An ES module's import of pyodide.mjs is out of reach: such a page gives its
// loadPyodide to session.loadPyodide({ loadPyodide }). So is PyScript's start,
// which imports the interpreter that its configuration names as a module.
(() => {
	"use strict";
	const script = document.currentScript;
	const { participantParam = "PROLIFIC_PID", participant, experiment, group, phase, url, waitMs = 5000 } = script.dataset;

	// A page without a participant's name still is one and the same until its
	// tab is closed.
	function anonymous() {
		const key = "initgrace:anonymous";
		const made = `anonymous-${Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("")}`;
		try {
			const kept = sessionStorage.getItem(key) ?? made;
			sessionStorage.setItem(key, kept);
			return kept;
		} catch { // storage can be forbidden
			return made;
		}
	}

	const tell = (name, detail) => window.dispatchEvent(new CustomEvent(`initgrace:${name}`, { detail }));

	const session = (async () => {
		const { connect } = await import(new URL("loader.js", script.src).href);
		const session = await connect({
			participant: participant || new URLSearchParams(location.search).get(participantParam) || anonymous(),
			experiment, group, url: url ?? new URL("../", script.src).href,
			timeoutMs: 24 * 3600_000, // the page does not wait for it
			on: { load: (load) => tell("load", load) },
		});
		tell("ready", { session });
		return session;
	})();
	session.catch(() => {}); // told to whoever waits for it
	globalThis.initgrace = session;

	const late = () => new Promise((_, reject) => setTimeout(() => {
		reject(Object.assign(new Error("no connection to the server yet"), { code: "unreachable" }));
	}, Number(waitMs)));

	const wrap = (original) => async function loadPyodide(options) {
		let begun = false;
		const load = (options) => {
			begun = true;
			return original.call(this, options);
		};
		try {
			const live = await Promise.race([session, late()]);
			return await live.loadPyodide({ loadPyodide: load, options, phase });
		} catch (err) {
			if (begun) throw err; // the page's own
			console.warn("initgrace: Python starts unprotected:", err.message);
			tell("unprotected", { code: err.code ?? "unreachable", message: err.message });
			return load(options);
		}
	};

	let original = globalThis.loadPyodide;
	let wrapped = typeof original === "function" ? wrap(original) : undefined;
	const place = Object.getOwnPropertyDescriptor(globalThis, "loadPyodide");
	if (place && !place.configurable) { // pyodide.js was here first
		if (wrapped) globalThis.loadPyodide = wrapped;
		return;
	}
	Object.defineProperty(globalThis, "loadPyodide", {
		configurable: true,
		enumerable: true,
		get: () => wrapped ?? original,
		set: (value) => {
			original = value;
			wrapped = typeof value === "function" ? wrap(value) : undefined;
		},
	});
})();
