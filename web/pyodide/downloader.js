// A worker that downloads for the page and compiles the WASM, so that neither
// takes time of the page's main thread; aside.js is the page's side.

import { text } from "../errors.js";
import { count, whole } from "./download.js";

const PAUSE_MS = 100; // between two messages of bytes: each costs the page time
// Once all is done. Chromium keeps compiled code for the next visit through the
// thread that compiled it, and only when a megabyte of it has been optimized:
// after some 10 s of Python, not after a start alone.
const KEPT_MS = 30_000;

onmessage = async ({ data: { library, wasm } }) => {
	postMessage({});
	await Promise.all([
		hand("library", async (arrived) => {
			const buffer = await whole(await fetch(library.url), library, arrived);
			return [buffer, [buffer]];
		}),
		hand("wasm", async (arrived) => {
			const response = await fetch(wasm);
			const [, module] = await Promise.all([count(response, arrived), WebAssembly.compileStreaming(response)]);
			return [module];
		}),
	]);
	setTimeout(close, KEPT_MS);
};

async function hand(file, get) {
	let bytes = 0;
	let told = 0;
	const tell = () => {
		told = performance.now();
		postMessage({ file, bytes });
	};
	try {
		const [value, transfer] = await get((n) => {
			bytes = n;
			if (performance.now() - told >= PAUSE_MS) tell();
		});
		tell();
		postMessage({ file, value }, transfer ?? []);
	} catch (err) {
		postMessage({ file, failed: text(err) });
	}
}
