// The little of the Chrome DevTools Protocol that is needed here, over a pipe:
// no dependency and no port.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const FLAGS = [
	"--headless",
	"--no-sandbox",
	"--disable-gpu",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--remote-debugging-pipe",
];

/** Starts a Chromium with a profile of its own, so that nothing is cached. */
export async function launch(executable = find()) {
	const profile = await mkdtemp(path.join(tmpdir(), "pyodide-bench-"));
	const child = spawn(executable, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
		stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
	});
	const exited = new Promise((resolve) => {
		child.once("exit", resolve).once("error", resolve);
	});
	const [, , , input, output] = child.stdio;
	const waiting = new Map();
	const listeners = new Set();
	let lastId = 0;
	let unread = "";

	function receive({ id, error, result, ...event }) {
		if (id === undefined) return listeners.forEach((listener) => listener(event));
		const call = waiting.get(id);
		waiting.delete(id);
		if (error) call.reject(new Error(`${call.method}: ${error.message}`));
		else call.resolve(result);
	}
	output.setEncoding("utf8").on("data", (chunk) => {
		const messages = (unread + chunk).split("\0");
		unread = messages.pop();
		for (const message of messages) receive(JSON.parse(message));
	});
	input.on("error", () => {}); // the exit below says more
	exited.then(() => waiting.forEach(({ reject, method }) => reject(new Error(`${method}: the browser ended`))));

	function send(method, params = {}, sessionId) {
		return new Promise((resolve, reject) => {
			waiting.set(++lastId, { resolve, reject, method });
			input.write(JSON.stringify({ id: lastId, method, params, sessionId }) + "\0");
		});
	}

	/** Opens a tab. `command` sends it a protocol command, `evaluate` awaits an expression in it. */
	async function open(url) {
		const { targetId } = await send("Target.createTarget", { url });
		const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
		const command = (method, params) => send(method, params, sessionId);
		async function evaluate(expression) {
			const { result, exceptionDetails: thrown } = await command("Runtime.evaluate", {
				expression,
				awaitPromise: true,
				returnByValue: true,
			});
			if (thrown) throw new Error(thrown.exception?.description ?? thrown.text);
			return result.value;
		}
		const close = () => send("Target.closeTarget", { targetId });
		return { command, evaluate, close };
	}

	/** Records trace events of these categories while `body` runs. */
	async function trace(categories, body) {
		const events = [];
		let complete;
		const completed = new Promise((resolve) => (complete = resolve));
		function listen({ method, params }) {
			if (method === "Tracing.dataCollected") events.push(...params.value);
			if (method === "Tracing.tracingComplete") complete();
		}
		listeners.add(listen);
		await send("Tracing.start", { traceConfig: { includedCategories: categories } });
		const result = await body();
		await send("Tracing.end");
		await completed;
		listeners.delete(listen);
		return { events, result };
	}

	async function close() {
		send("Browser.close").catch(() => {}); // it may end before it answers
		const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
		await exited;
		clearTimeout(timer);
		await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
	}

	return { open, trace, close };
}

function find() {
	const names = ["chromium", "chromium-browser", "google-chrome"];
	const folders = process.env.PATH.split(path.delimiter);
	const found = names.flatMap((name) => folders.map((folder) => path.join(folder, name))).find(existsSync);
	if (!found) throw new Error(`there is no ${names.join(", ")} on the PATH`);
	return found;
}
