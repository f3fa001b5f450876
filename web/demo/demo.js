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
	const room = new Room(session);

	// From here on, the study may end at any time, and so may the time with a partner.
	let way; // through the scenes, with this partner
	const ended = new Promise((_, reject) => {
		session.on("outcome", (outcome) => {
			showPayment(outcome);
			if (outcome.outcome !== "completed") reject(new Ending(...outcomes[outcome.outcome]));
		});
		session.on("group_end", ({ reason, requeued }) => {
			if (requeued) way.abort(new Again());
			else reject(new Ending("Your partner has left", whyLeft(reason)));
		});
		session.on("group_changed", ({ missing }) => missing && way.abort(new Again()));
		session.on("close", ({ code, message }) => reject(new Ending(...(closed[code] ?? ["The connection has ended", message]))));
	});
	for (;;) {
		way = new AbortController();
		try {
			await Promise.race([scenes(session, progress, partner, match, room, way.signal), aborted(way.signal), ended]);
		} catch (err) {
			if (!(err instanceof Ending || err instanceof Again)) throw err;
			if (progress.result) return; // there is nothing left to lose
			way.abort(err); // Python may be loading: no game follows
			match.stop();
			if (err instanceof Ending) {
				enter("ended");
				$("#title").textContent = err.message;
				$("#why").textContent = err.detail;
				return;
			}
			partner.reset();
			$("#waiting-for").textContent = "Looking for a new partner";
			$("#left").hidden = false;
			progress.save({ scene: "wait", group: "", groupEnded: false, members: [], moves: "" });
		}
	}
}

// scenes goes through the study, from where the participant stood, as long as
// there is that partner.
async function scenes(session, progress, partner, match, room, signal) {
	if (progress.scene === "welcome") {
		enter("welcome");
		if (!autoplay) await pressed($("#start"));
	}
	if (!progress.result) {
		if (progress.groupEnded && session.expired) throw new Ending(...closed.expired);
		if (progress.groupEnded) {
			await progress.save({ scene: "wait" }); // whoever waits again is told so before this is acknowledged
			throw room.told || session.group ? new Again() : new Ending("Your partner has left", whyLeft(""));
		}
		if (!progress.group) await room.findPartner(progress, signal);
		signal.throwIfAborted();
		partner.here();
		match.environment ??= await loadPython(session);
		signal.throwIfAborted();
		await match.play();
	}
	await match.done();
	await new Promise(() => {}); // until the page is closed
}

const aborted = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

// Again is the end of the time with a partner: there will be another one.
class Again extends Error {}

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
	for (const payment of document.querySelectorAll(".payment")) {
		const part = (selector) => payment.querySelector(selector);
		payment.hidden = !code && !link;
		part("code").textContent = code ?? "";
		part("span").hidden = !code;
		part("a").hidden = !link;
		if (link) part("a").href = link;
	}
}

const whyLeft = (reason) =>
	reason === "leave_timeout"
		? "They closed the page and did not come back in time."
		: "Their seat was kept for a while, but they did not come back.";

const closed = {
	expired: ["Your seat was given up", "Nothing was heard of this page for too long."],
	replaced: ["The study goes on in another window", "Only the newest window of a participant takes part."],
};

// The Room is the wait room, and the place that a partner has left open.
class Room {
	constructor(session) {
		this.session = session;
		this.told = undefined; // last, and when
		session.on("waiting", (waiting) => {
			this.told = { waiting, at: performance.now() };
			this.say();
		});
		session.on("group_ready", (group) => this.resolve(group));
		session.on("group_end", () => this.expect());
		session.on("group_changed", ({ missing, ...group }) => missing ? this.expect() : this.resolve(group));
		this.expect();
	}

	// expect a group from now on.
	expect() {
		this.ready = new Promise((resolve) => (this.resolve = resolve));
	}

	say() {
		const { words, detail } = waitRoom(this.told.waiting, performance.now() - this.told.at);
		$("#present").textContent = words;
		$("#expected").textContent = detail;
		$("#expected").hidden = !detail;
	}

	// findPartner waits until there are two.
	async findPartner(progress, signal) {
		enter("wait");
		const ticking = setInterval(() => this.told && this.say(), 1000);
		try {
			await progress.save({ scene: "wait" });
			await this.session.join({ size: 2 }).catch((err) => {
				if (err.code !== "in_group") throw err; // in which somebody else takes the place
			});
			const { group, members } = await this.ready;
			signal.throwIfAborted();
			progress.save({ scene: "load", group, members, moves: "" });
		} finally {
			clearInterval(ticking);
		}
	}
}

// loadPython starts Pyodide, once, with whatever partner. The server is told
// first, and so is the partner; then the page may freeze.
let python;
const loadPython = (session) => {
	enter("load");
	return (python ??= startPython(session));
};

async function startPython(session) {
	const source = await fetch("env.py").then((r) => r.text());
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
