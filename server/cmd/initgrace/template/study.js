// A whole study in one file: wait for a partner, start Python, play, get paid.
// Change what you like. The address takes ?participant=ID or ?PROLIFIC_PID=ID.
import { connect } from "/initgrace/loader.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

// A tab is a participant, also after a refresh.
function participantId() {
	const given = query.get("participant") ?? query.get("PROLIFIC_PID");
	if (given) return given;
	const id = sessionStorage.getItem("participant") ?? `p-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
	sessionStorage.setItem("participant", id);
	return id;
}

function show(section) {
	for (const s of document.querySelectorAll("section")) s.hidden = s.id !== section;
	if (["done", "wait", "ask"].includes(section)) $("partner").hidden = true;
}

const seconds = (ms) => (ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`);

const session = await connect({ participant: participantId() });
const numbers = new Map(); // by participant
let python;
let playing; // the game, while there is one

// What may happen at any time -------------------------------------------------------

session.on("waiting", ({ position, present, size, expected_ms, timeout_ms }) => {
	const words = [`${present} of ${size} ${present === 1 ? "is" : "are"} here`];
	if (position > size) words.push(`you are number ${position}`);
	if (expected_ms) words.push(`about ${seconds(expected_ms)} to go`);
	if (timeout_ms) words.push(`at most ${seconds(timeout_ms)}`);
	$("waiting").textContent = words.join(" · ");
	show("wait");
});
session.on("group_ready", () => play());
session.on("group_end", () => {
	numbers.clear();
	playing = undefined; // there may be another group
});
session.on("group_changed", ({ missing }) => {
	if (missing || session.outcome) return;
	playing = undefined;
	play();
});
session.on("partner_state", ({ state, reason, deadline_ms }) => {
	const left = reason === "pagehide" || reason === "page_closed"; // perhaps only to refresh it
	const words = {
		active: "Your partner is here.", loading: "Your partner is starting Python.",
		blocked: "Your partner's page does not react.", away: `Your partner ${left ? "has left the page" : "is cut off"}.`, gone: "Your partner has left.",
	};
	const held = state === "away" && deadline_ms ? ` The place is kept for ${seconds(deadline_ms)}.` : "";
	$("partner").textContent = words[state] + held;
	$("partner").hidden = !session.group || state === "gone";
});
session.on("ask", ({ choices }) => {
	const words = { requeue: "Find another partner", end: "Stop and be paid", continue: "Go on without", replace: "Wait for a replacement" };
	$("choices").replaceChildren(...choices.map((choice) => {
		const button = document.createElement("button");
		button.textContent = words[choice];
		button.addEventListener("click", () => session.answer(choice).catch((err) => console.warn(err)));
		return button;
	}));
	show("ask");
});
session.on("message", ({ from, data }) => {
	if (data.number !== undefined) numbers.set(from, data.number);
	if (data.ask) tell(false); // the partner's page is new
	settle();
});
session.on("outcome", end);
session.on("close", ({ message }) => end({ outcome: "closed", why: message }));

// The scenes --------------------------------------------------------------------------

async function start() {
	if (session.outcome) return end(session.outcome);
	if (session.group) return play();
	$("hint").hidden = session.condition !== "hint";
	show("welcome");
	$("start").addEventListener("click", async () => {
		$("start").disabled = true;
		await session.join().catch((err) => end({ outcome: "failed", why: err.message }));
	});
}

function play() {
	return (playing ??= game().catch((err) => {
		playing = undefined;
		console.error(err);
		end({ outcome: "failed", why: err.message });
	}));
}

async function game() {
	if (!python) {
		show("load");
		python = await session.loadPyodide({
			packages: session.packages,
			init: (python) => python.runPython(`
def closest(numbers):
    target = sum(numbers.values()) / len(numbers) * 2 / 3
    best = min(abs(n - target) for n in numbers.values())
    return [target, *(p for p, n in numbers.items() if abs(n - target) == best)]
`),
		});
	}
	const { globals } = session.state;
	if (globals?.group === session.group) numbers.set(session.participant, globals.number);
	await session.saveState({ ...session.state, scene_id: "play" });
	$("status").textContent = "";
	show("play");
	tell(true);
	settle();
}

$("form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const number = Number($("number").value);
	numbers.set(session.participant, number);
	await session.saveState({ scene_id: "play", globals: { group: session.group, number } }); // back after a refresh
	tell(false);
	settle();
});

// tell sends the own number, if there is one; ask: and wants the partner's.
function tell(ask) {
	session.send({ number: numbers.get(session.participant), ask }).catch((err) => console.warn(err));
}

async function settle() {
	const own = numbers.get(session.participant);
	for (const element of $("form").elements) element.disabled = own !== undefined;
	if (own !== undefined) $("status").textContent = `You have chosen ${own}. Waiting for your partner…`;
	const members = [...new Set([session.participant, ...session.partners, ...numbers.keys()])];
	if (!python || members.some((m) => numbers.get(m) === undefined)) return;
	const closest = python.globals.get("closest");
	const given = python.toPy(Object.fromEntries(members.map((m) => [m, numbers.get(m)])));
	const proxy = closest(given);
	const [target, ...winners] = proxy.toJs();
	for (const p of [closest, given, proxy]) p.destroy();
	const won = winners.length > 1 ? "A draw" : winners[0] === session.participant ? "You win" : "Your partner wins";
	const outcome = await session.finish();
	end({ ...outcome, title: `${won}: the target was ${target.toFixed(1)}` });
}

function end({ outcome, code, link, title, why = "" }) {
	if (!$("done").hidden && !title) return; // told already
	const words = {
		completed: "Thank you", partner_gone: "Your partner has left", wait_timeout: "Nobody came",
		closed: "The session has ended", failed: "This does not work",
	};
	$("result").textContent = title ?? words[outcome];
	$("why").textContent = why;
	$("pay").replaceChildren();
	if (code) $("pay").append("Your code: ", Object.assign(document.createElement("code"), { textContent: code }), " ");
	if (link) $("pay").append(Object.assign(document.createElement("a"), { href: link, textContent: "Return and be paid" }));
	document.body.dataset.outcome = outcome;
	show("done");
}

start();
