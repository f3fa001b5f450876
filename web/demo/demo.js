// The demo study: two players, one game, computed by Python in both browsers.
//
// It is written as a study would be: a few scenes, one after the other, each
// position kept in the session, so that a refresh goes on where it was.
//
//	?participant=ID or ?PROLIFIC_PID=ID   who plays; otherwise a random id per tab
//	?autoplay                             a robot plays, and starts by itself
//	?ticks=N                              length of the game; both players need the same
//
// For tests: body[data-scene] is the scene; #partner[data-state] the partner's
// presence; #board[data-tick][data-score] the game; #pause is visible while the
// game waits; #digest[data-digest] sums up the whole game at the end, and
// #match[data-match] says whether the partner's digest is the same.
import { connect } from "/initgrace/loader.js";

import { painted, startBar } from "./clock.js";
import { Environment } from "./environment.js";
import { Partner } from "./partner.js";
import { Match } from "./match.js";
import { Progress } from "./progress.js";
import { $, enter, pressed } from "./scenes.js";

const EXPECTED_MS = 8000; // of a load, for the partner's eyes only
const query = new URLSearchParams(location.search);
const autoplay = query.has("autoplay");
const ticks = Number(query.get("ticks")) || 240;

// participantId: a tab is a participant, also after a refresh.
function participantId() {
	const given = query.get("participant") ?? query.get("PROLIFIC_PID");
	if (given) return given;
	let id = sessionStorage.getItem("participant");
	if (!id || query.has("again")) {
		const [random] = crypto.getRandomValues(new Uint32Array(1));
		id = `p-${random.toString(16).padStart(8, "0")}`;
		sessionStorage.setItem("participant", id);
		history.replaceState(null, "", location.pathname); // "again" is meant once
	}
	return id;
}

async function study() {
	const participant = participantId();
	$("#participant").textContent = participant;
	const session = await connect({ url: location.origin, participant });
	const progress = new Progress(session);
	const partner = new Partner($("#partner"));
	session.on("partner_state", (state) => partner.update(state));
	const match = new Match({ session, progress, partner, participant, ticks, autoplay });

	if (progress.scene === "welcome") {
		enter("welcome");
		if (!autoplay) await pressed($("#start"));
	}
	if (progress.scene === "done") return match.done();

	// From here on the partner may leave for good at any time.
	const left = new Promise((_, reject) => {
		session.on("group_end", ({ reason }) => reject(new PartnerLeft(reason)));
	});
	const orLeft = (work) => Promise.race([work, left]);
	try {
		if (!progress.group) await findPartner(session, progress);
		partner.here();
		match.environment = await orLeft(loadPython(session, progress));
		await orLeft(match.play());
		await match.done();
	} catch (err) {
		if (!(err instanceof PartnerLeft) || progress.scene === "done") throw err;
		match.stop();
		enter("ended");
		$("#why").textContent = err.message;
	}
}

class PartnerLeft extends Error {
	constructor(reason) {
		super(
			reason === "leave_timeout"
				? "They closed the page and did not come back in time."
				: "Their seat was kept for a while, but they could not come back.",
		);
	}
}

// findPartner waits until there are two.
async function findPartner(session, progress) {
	enter("wait");
	const ready = new Promise((resolve) => session.on("group_ready", resolve));
	session.on("waiting", ({ present, size }) => {
		$("#present").textContent = `${present} of ${size} players ${present === 1 ? "is" : "are"} here`;
	});
	progress.save({ scene: "wait" });
	await session.join({ size: 2 });
	const { group, members } = await ready;
	await progress.save({ scene: "load", group, members });
}

// loadPython starts Pyodide. The server is told first, and so is the partner;
// then the page may freeze.
async function loadPython(session, progress) {
	const [config, source] = await Promise.all([
		fetch("/initgrace/config.json").then((r) => r.json()),
		fetch("env.py").then((r) => r.text()),
	]);
	for (;;) {
		enter("load");
		startBar($("#loading"), 0, EXPECTED_MS);
		$("#failure").hidden = true;
		await painted();
		try {
			let environment;
			await session.loadPyodide({
				indexURL: config.pyodide.index_url,
				expectedMs: EXPECTED_MS,
				init: (pyodide) => {
					environment = new Environment(pyodide, source);
				},
			});
			return environment;
		} catch (err) {
			console.warn("loading failed:", err);
			$("#failure [role=alert]").textContent = `Python could not be started: ${err.message}`;
			$("#failure").hidden = false;
			await pressed($("#retry"));
		}
	}
}

study().catch((err) => {
	console.error(err);
	enter("error");
	$("#error").textContent = err.message;
	$("#reload").addEventListener("click", () => location.reload());
});
