// Every call of the package, as a study in TypeScript would make it. It is
// compiled, not run (npm_test.go).
import { connect, loadUnprotected, version, type Code, type InitgraceError, type PartnerState, type Session } from "initgrace";
import InitgracePyodide, { type InitgracePyodideData, type InitgracePyodideTrial } from "initgrace/jspsych-plugin.js";

const told: string = version;

async function study(participant: string, signal: AbortSignal): Promise<number> {
	const session: Session = await connect({
		participant, signal, url: "/", experiment: "e", group: "g", token: undefined, pageId: "p", host: "worker",
		timeoutMs: 1, connectTimeoutMs: 1, callTimeoutMs: 1, silenceMs: 1, latencyMs: -1, backoffMinMs: 1, backoffMaxMs: 1,
		queueSize: 1, wasmURL: new URL("https://example.org/loader.wasm"), wasmExecURL: "wasm_exec.js", prefetch: { steps: true },
		on: { partner_state: ({ state }) => void (state === "away") },
	});
	const remove: () => void = session.on("partner_state", (p: PartnerState) => console.log(p.participant, p.deadline_ms ?? 0));
	session.on("load", (load) => console.log(load.longestBlockMs, load.unprotected?.code));
	session.on("progress", ({ phase, fraction = 0 }) => console.log(phase, fraction));
	session.on("close", ({ code }) => console.log(code satisfies Code));
	session.on("an event of the study's own", (data) => console.log(data.anything));

	const waiting = await session.join({ size: 2 }, { timeoutMs: 1000 });
	const ahead: void = await session.preload({ packages: "numpy", worker: false });
	const python: any = await session.loadPyodide({
		packages: ["numpy"], init: (p) => p.runPython("1"), expectedMs: 1000, unprotected: true, ackTimeoutMs: 1, stallMs: 1,
		phase: "a", packagesPhase: "b", initPhase: "c", steps: true, signal, onProgress: ({ bytes = 0 }) => console.log(bytes),
	});
	const alone: any = await loadUnprotected({ url: "/", packages: ["numpy"], init: (p) => p.runPython("1"), worker: false });
	const remote = await session.loadPyodide({ worker: true });
	await remote.runPython("1");
	remote.terminate();
	const trained: number = await session.blocking("train model", () => python.runPython("2"), { expectedMs: 5000 });
	const saved: number = await session.saveState({ scene_id: "round 2", globals: { score: 7 } });
	const { seq = 0 } = await session.send({ action: 3 }, { latest: "cursor" });
	await session.barrier("round 2", { timeoutMs: 60_000 });
	const ack: any = await session.emit("own", { a: 1 }, { timeoutMs: 1 });
	const { outcome } = await session.finish();
	await session.answer("wait");
	const known = [
		session.participant, session.token, session.host, session.restored, session.expired, session.group, session.partners,
		session.state.globals, session.version, session.presence, session.connected, session.policy.load_ms, session.latencyMs,
		session.maxLatencyMs, session.lastLoad?.protected, session.experiment, session.condition, session.scenes, session.packages,
		session.outcome?.link,
	];
	remove();
	await session.close();
	return waiting.present + trained + saved + seq + known.length + (ahead ?? 0) + (outcome === "completed" ? 1 : 0) + ack;
}

study("p", AbortSignal.timeout(1000)).catch((err: InitgraceError) => console.error(told, err.code));

const trial: InitgracePyodideTrial & { type: typeof InitgracePyodide } = {
	type: InitgracePyodide, connect: { participant: "p" }, packages: ["numpy"], retries: 1, retry_label: "again", unprotected: false,
};
const data: Partial<InitgracePyodideData> = { ok: true, longest_block_ms: 900 };
console.log(trial, data);
