// What the server tells, put together: server/live has the same in Go.

export const PRESENCES = ["active", "loading", "blocked", "away", "gone"];

const KEEP = { sections: 160, gaps: 60, loads: 60, points: 600 };

export class View {
	lanes = new Map(); // by participant
	points = []; // [at, pong p50, pong p95, ping p50, ping p95]
	totals = null;
	run = "";
	complete = false;
	ahead = 0; // of the server's clock, in ms

	/** The server's clock. */
	now() {
		return Date.now() + this.ahead;
	}

	apply(message) {
		if (message.reset) {
			this.lanes.clear();
			this.points = [];
			this.complete = false;
			this.run = message.run;
			this.ahead = message.now - Date.now();
		}
		// What came without delay tells best how late the server's clock is.
		this.ahead = Math.max(this.ahead, message.now - Date.now());
		if (message.totals) this.totals = message.totals;
		for (const lane of message.lanes ?? []) this.#lane(lane);
		for (const name of message.forgotten ?? []) this.lanes.delete(name);
		for (const [name, [pong, ping]] of Object.entries(message.latency ?? {})) {
			const lane = this.lanes.get(name);
			if (lane) Object.assign(lane, { pong_ms: pong, ping_ms: ping });
		}
		if (message.points) {
			this.points.push(...message.points);
			this.points.splice(0, this.points.length - KEEP.points);
		}
		if (message.complete) this.complete = true;
	}

	#lane(lane) {
		const was = this.lanes.get(lane.participant);
		const sections = was?.sections ?? [];
		const gaps = was?.gaps ?? []; // [from, to, reason]
		const loads = was?.loads ?? [];
		if (lane.sections) sections.push(...lane.sections);
		if (lane.gaps) gaps.push(...lane.gaps);
		for (const load of lane.loads ?? []) {
			const at = loads.findIndex((l) => l.id === load.id && l.start === load.start);
			if (at < 0) loads.push(load);
			else loads[at] = load;
		}
		sections.splice(0, sections.length - KEEP.sections);
		loads.splice(0, loads.length - KEEP.loads);
		gaps.splice(0, gaps.length - KEEP.gaps);
		lane.sections = sections;
		lane.gaps = gaps;
		lane.loads = loads;
		this.lanes.set(lane.participant, lane);
	}

	/** How many participants there are of each presence. */
	counts() {
		const counts = Object.fromEntries(PRESENCES.map((p) => [p, 0]));
		for (const { presence } of this.lanes.values()) if (presence) counts[presence]++;
		return counts;
	}
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const byName = (a, b) => compare(a.participant, b.participant);
const TROUBLE = { away: 0, blocked: 1, loading: 2, active: 3, "": 4, gone: 5 };

const ORDERS = {
	group: (a, b) => compare(a.group || "\uffff", b.group || "\uffff") || byName(a, b),
	trouble: (a, b) => TROUBLE[a.presence] - TROUBLE[b.presence] || (a.deadline || Infinity) - (b.deadline || Infinity) || byName(a, b),
	name: byName,
	recent: (a, b) => b.since - a.since || byName(a, b),
};

/** The lanes that are to be shown, in their order. */
export function choose(view, { search, order, hidden }) {
	const words = search.toLowerCase().split(/\s+/).filter(Boolean);
	const chosen = [];
	for (const lane of view.lanes.values()) {
		if (hidden.has(lane.presence)) continue;
		if (words.length === 0) {
			chosen.push(lane);
			continue;
		}
		const text = `${lane.participant} ${lane.group ?? ""} ${lane.experiment ?? ""} ${lane.phase ?? ""}`.toLowerCase();
		if (words.every((word) => text.includes(word))) chosen.push(lane);
	}
	return chosen.sort((a, b) => ORDERS[order](a, b) || 0);
}

/** A duration for people. */
export function span(ms) {
	const s = Math.max(ms, 0) / 1000;
	if (s < 9.95) return `${s.toFixed(1)} s`;
	if (s < 100) return `${Math.round(s)} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${String(Math.floor(s % 60)).padStart(2, "0")} s`;
	return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}
