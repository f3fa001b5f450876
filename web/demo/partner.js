// What the server says about the partner, shown: the state, since when, and
// until when the seat is held.
import { startBar, startClock } from "./clock.js";

// What a state is called, in a sentence about the partner and in the history.
const names = {
	active: ["is here", "here"],
	loading: ["is starting Python", "starting Python"],
	blocked: ["has a busy page", "page busy"],
	closed: ["has left the page", "page left"],
	away: ["is cut off", "cut off"],
	gone: ["has left", "left"],
	unknown: ["is not here yet", ""],
};

const left = (reason) => reason === "pagehide" || reason === "page_closed";

const name = ({ state, reason }) => names[state === "away" && left(reason) ? "closed" : state] ?? names.unknown;

// explain says what a state means for the one who waits.
function explain({ state, reason, phase }, heldSeconds) {
	const held = heldSeconds > 0 ? ` Their seat is kept for ${duration(heldSeconds)}.` : "";
	switch (state) {
		case "loading":
			return `Their page cannot react meanwhile${phase ? ` (${phase})` : ""}.${held}`;
		case "blocked":
			return `Their browser answers, their page does not.${held}`;
		case "away":
			return `${left(reason) ? "Perhaps they only refresh it." : "Their network is silent."}${held}`;
		default:
			return "";
	}
}

export function duration(seconds) {
	const s = Math.max(Math.ceil(seconds), 0);
	return s < 60 ? `${s} s` : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")} min`;
}

export class Partner {
	constructor(element) {
		this.element = element;
		this.reset();
	}

	// reset: nothing is known, of another partner.
	reset() {
		this.state = this.element.dataset.state = "unknown";
		this.seen = 0; // presence changes, by their sequence number
		this.changed = performance.now();
		this.message = undefined;
		this.part(".state").textContent = name(this)[0];
		this.part(".history").replaceChildren();
		for (const part of [".clock", ".bar"]) this.part(part).hidden = true;
		this.refresh();
	}

	// here says so when the server has nothing to tell yet.
	here() {
		if (this.state === "unknown") this.show({ state: "active", since_ms: 0 });
	}

	update(message) {
		if (message.seq < this.seen) return; // overtaken by a newer one
		this.seen = message.seq;
		this.show(message);
	}

	show(message) {
		const now = performance.now();
		const same = message.state === this.state;
		this.message = message;
		this.state = message.state;
		this.changed = now - (message.since_ms ?? 0);
		this.deadline = message.deadline_ms > 0 ? now + message.deadline_ms : 0;
		this.element.dataset.state = message.state;
		this.part(".state").textContent = name(message)[0];
		const busy = this.busy;
		for (const name of [".clock", ".bar"]) this.part(name).hidden = !busy;
		if (busy) this.count(this.part(".clock"), this.part(".bar"));
		if (!same) this.note();
		this.refresh();
	}

	get busy() {
		return ["loading", "blocked", "away"].includes(this.state);
	}

	// count starts a clock and a bar for the present state.
	count(clock, bar) {
		const elapsed = performance.now() - this.changed;
		startClock(clock, elapsed);
		const expected = this.message.expected_ms || (this.state === "loading" ? 0 : this.deadline - this.changed);
		startBar(bar, elapsed, expected > 0 ? expected : 0);
	}

	// refresh renews what counts down.
	refresh() {
		this.part(".detail").textContent = this.detail();
	}

	detail() {
		return this.message ? explain(this.message, (this.deadline - performance.now()) / 1000) : "";
	}

	sentence() {
		return `Your partner ${name(this.message ?? {})[0]}`;
	}

	// note adds a line to the history: the last few states and how long each took.
	note() {
		const history = this.part(".history");
		const line = document.createElement("li");
		line.dataset.state = this.state;
		line.dataset.at = this.changed;
		line.textContent = name(this.message)[1];
		const before = history.firstElementChild;
		if (before) {
			const took = (this.changed - before.dataset.at) / 1000;
			before.append(Object.assign(document.createElement("span"), { textContent: `${took.toFixed(1)} s` }));
		}
		history.prepend(line);
		while (history.children.length > 4) history.lastElementChild.remove();
	}

	part(selector) {
		return this.element.querySelector(selector);
	}
}
