// Serves files to a page as the product does: right types, strict policy, Brotli, cacheable for ever.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const TYPES = {
	".html": "text/html; charset=utf-8",
	".css": "text/css",
	".js": "text/javascript",
	".json": "application/json",
	".mjs": "text/javascript",
	".wasm": "application/wasm",
	".zip": "application/zip",
};

// Only the size on the wire depends on the quality, and loopback does not show it.
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } };

/**
 * @param {Record<string, string | Uint8Array>} files a file or its content for each URL path; a folder for paths that end in a slash
 * @param {Record<string, ((response) => void)[]>} faults how the first requests of a URL path are answered instead; no later one is cached
 * @returns {Promise<{origin: string, requests: string[], close: () => void}>}
 */
export async function serve(files, faults = {}) {
	const compressed = new Map();
	function body(file) {
		const content = () => (typeof file === "string" ? readFileSync(file) : file);
		if (!compressed.has(file)) compressed.set(file, brotliCompressSync(content(), BROTLI));
		return compressed.get(file);
	}
	function find(url) {
		const folder = url.slice(0, url.lastIndexOf("/") + 1);
		return files[url] ?? (files[folder] && path.join(files[folder], url.slice(folder.length)));
	}
	const requests = []; // the paths, as they came
	const server = createServer((request, response) => {
		const { pathname, search } = new URL(request.url, "http://localhost");
		requests.push(pathname);
		const fault = faults[pathname]?.shift();
		if (fault) return fault(response);
		const file = find(pathname);
		try {
			const content = body(file);
			response.writeHead(200, {
				"Content-Type": TYPES[path.extname(pathname === "/" ? "index.html" : pathname)] ?? "application/octet-stream",
				"Content-Encoding": "br",
				"Content-Length": content.length,
				"Cache-Control": typeof file === "string" && !faults[pathname] ? "public, max-age=31536000, immutable" : "no-store",
				"Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" + (search === "?alone" ? "; worker-src 'none'" : ""),
			});
			if (search.startsWith("?late")) setTimeout(() => response.end(content), 1500);
			else response.end(content);
		} catch {
			response.writeHead(404).end();
		}
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return { origin: `http://127.0.0.1:${server.address().port}`, requests, close: () => server.close() };
}
