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
import "/initgrace/progress-element.js";

import { Environment } from "./environment.js";
import { Partner } from "./partner.js";
import { Match } from "./match.js";
import { Progress } from "./progress.js";
import { waitRoom } from "./waitroom.js";
import { $, enter, pressed } from "./scenes.js";

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
	session.on("notice", ({ text }) => {
		$("#notice").textContent = text;
		$("#notice").hidden = false;
	});
	const match = new Match({ session, progress, partner, participant, ticks, autoplay });

	// From here on, the study may end at any time.
	const ended = new Promise((_, reject) => {
		session.on("outcome", (outcome) => {
			showPayment(outcome);
			if (outcome.outcome !== "completed") reject(new Ending(...outcomes[outcome.outcome]));
		});
		session.on("group_end", ({ reason }) => reject(new Ending("Your partner has left", whyLeft(reason))));
		session.on("close", ({ code, message }) => reject(new Ending(...(closed[code] ?? ["The connection has ended", message]))));
	});
	try {
		await Promise.race([scenes(session, progress, partner, match), ended]);
	} catch (err) {
		if (!(err instanceof Ending)) throw err;
		if (progress.result) return; // there is nothing left to lose
		match.stop();
		enter("ended");
		$("#title").textContent = err.message;
		$("#why").textContent = err.detail;
	}
}

// scenes goes through the study, from where the participant stood.
async function scenes(session, progress, partner, match) {
	if (progress.scene === "welcome") {
		enter("welcome");
		if (!autoplay) await pressed($("#start"));
	}
	if (!progress.result) {
		if (progress.groupEnded && session.expired) throw new Ending(...closed.expired);
		if (progress.groupEnded) throw new Ending("Your partner has left", whyLeft(""));
		if (!progress.group) await findPartner(session, progress);
		partner.here();
		match.environment = await loadPython(session);
		await match.play();
	}
	await match.done();
	await new Promise(() => {}); // until the page is closed
}

// An Ending is the end of the study before its last scene.
class Ending extends Error {
	constructor(message, detail) {
		super(message);
		this.detail = detail;
	}
}

// outcomes are those of a study file, before the last scene.
const outcomes = {
	partner_gone: ["Your partner has left", "Their seat was kept for a while, but they did not come back."],
	wait_timeout: ["Nobody came", "There was no partner for you in time."],
};

function showPayment({ code, link }) {
	$("#payment").hidden = !code && !link;
	$("#code").textContent = code ?? "";
	$("#code").parentElement.hidden = !code;
	$("#link").hidden = !link;
	if (link) $("#link").href = link;
}

const whyLeft = (reason) =>
	reason === "leave_timeout"
		? "They closed the page and did not come back in time."
		: "Their seat was kept for a while, but they did not come back.";

const closed = {
	expired: ["Your seat was given up", "Nothing was heard of this page for too long."],
	replaced: ["The study goes on in another window", "Only the newest window of a participant takes part."],
};

// findPartner waits until there are two.
async function findPartner(session, progress) {
	enter("wait");
	const ready = new Promise((resolve) => session.on("group_ready", resolve));
	let told; // last, and when
	const say = () => {
		const { words, detail } = waitRoom(told.waiting, performance.now() - told.at);
		$("#present").textContent = words;
		$("#expected").textContent = detail;
		$("#expected").hidden = !detail;
	};
	session.on("waiting", (waiting) => {
		told = { waiting, at: performance.now() };
		say();
	});
	const ticking = setInterval(() => told && say(), 1000);
	await progress.save({ scene: "wait" });
	await session.join({ size: 2 });
	const { group, members } = await ready;
	clearInterval(ticking);
	await progress.save({ scene: "load", group, members });
}

// loadPython starts Pyodide. The server is told first, and so is the partner;
// then the page may freeze.
async function loadPython(session) {
	const source = await fetch("env.py").then((r) => r.text());
	enter("load");
	const progress = $("#loading");
	progress.session = session;
	let environment;
	await progress.attempt(() =>
		session.loadPyodide({
			expectedMs: 8000, // a first guess
			init: (pyodide) => {
				environment = new Environment(pyodide, source);
			},
		}),
	);
	return environment;
}

study().catch((err) => {
	console.error(err);
	enter("error");
	$("#error").textContent = err.message;
	$("#reload").addEventListener("click", () => location.reload());
});
