// What there is to load, and from where: the page's wishes and the server's
// config.json together.

import { fault, text } from "../errors.js";

const CONFIG_MS = 5000; // without an answer the page's indexURL has to do

const configs = new Map(); // server → Promise of what it says of Pyodide

function configOf(server) {
	if (!configs.has(server)) {
		const config = (async () => {
			const response = await fetch(new URL("initgrace/config.json", server), { signal: AbortSignal.timeout(CONFIG_MS) });
			if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
			return (await response.json()).pyodide; // if it has one
		})();
		configs.set(server, config);
		config.catch(() => configs.delete(server)); // the next load asks again
	}
	return configs.get(server);
}

/**
 * @returns {Promise<{indexURL?: string, options: object, version?: string, files: Record<string, number>,
 *   compiled?: {url: string, sha256: string, size: number, imports: string[]}, packageURLs: string[]}>}
 */
export async function plan(server, o) {
	const page = globalThis.location?.href;
	const indexURL = o.indexURL && new URL(o.indexURL.replace(/\/?$/, "/"), page).href;
	const unknown = { indexURL, options: indexURL ? { indexURL } : {}, files: {}, packageURLs: [] };
	if (o.loadPyodide) return unknown;
	const config = await configOf(server).catch((err) => {
		if (indexURL) return undefined;
		throw fault("load_failed", `what the server says of Pyodide could not be had: ${text(err)}. ` +
			"Check the connection to it, and try again", err);
	});
	if (!config && !indexURL) throw fault("invalid_payload", "loadPyodide: the server has no Pyodide. Say indexURL");
	if (!config) return unknown;
	const at = (url) => new URL(url, server).href;
	if (indexURL && indexURL !== at(config.index_url)) return unknown; // another Pyodide than the server's
	const { version, files, compiled } = config;
	const own = o.options ?? {};
	const steps = o.steps !== false && !own.stdLibURL && !own._loadSnapshot;
	const options = { indexURL: at(config.index_url) };
	const packageURLs = (config.package_urls ?? []).map(at);
	if (packageURLs.length && !own.packageBaseUrl) options.packageBaseUrl = packageURLs[0];
	if (config.lock_url && !own.lockFileURL && !own.lockFileContents) options.lockFileURL = at(config.lock_url);
	return {
		indexURL: options.indexURL, options, version, files, packageURLs,
		compiled: steps && compiled ? { ...compiled, url: at(compiled.url) } : undefined,
	};
}
