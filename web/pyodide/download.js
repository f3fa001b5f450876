// What both the page and the worker beside it do with a download.

// parts reads a body piece by piece: into pieces of one buffer that is used
// again and again, where the browser can.
async function* parts(body, buffer) {
	let reader;
	try {
		reader = body.getReader({ mode: "byob" });
	} catch { // this browser cannot
		for (reader = body.getReader(); ; ) {
			const { done, value } = await reader.read();
			if (done) return;
			yield value;
		}
	}
	for (; ;) {
		const { done, value } = await reader.read(new Uint8Array(buffer));
		if (done) return;
		yield value;
		buffer = value.buffer; // a read takes the buffer away and gives it back
	}
}

/** count reads a copy of a response, so that the browser sees its own: only then does it keep the compiled WASM. */
export async function count(response, arrived) {
	let bytes = 0;
	for await (const part of parts(response.clone().body, new ArrayBuffer(65_536))) arrived((bytes += part.byteLength));
}

/** whole is the content of a response that must be of this size and SHA-256, in hex. */
export async function whole(response, { size, sha256 }, arrived) {
	if (!response.ok) throw new Error(`HTTP ${response.status}`);
	const bytes = new Uint8Array(size);
	let at = 0;
	for await (const part of parts(response.body, new ArrayBuffer(65_536))) {
		if (at + part.byteLength > size) throw new Error("it is damaged");
		bytes.set(part, at);
		arrived((at += part.byteLength));
	}
	if (at < size || ((await digest(bytes)) ?? sha256) !== sha256) throw new Error("it is damaged");
	return bytes.buffer;
}

// digest is the SHA-256 in hex, or nothing where the browser does not offer it: on plain http.
async function digest(bytes) {
	if (!globalThis.crypto?.subtle) return undefined;
	const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
	return Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("");
}
