import assert from "node:assert/strict";
import test from "node:test";

import { choose, span, View } from "../admin/view.js";

const lane = (participant, more) => ({ participant, presence: "active", since: 0, epoch: 1, ...more });

test("lanes are put together", () => {
	const view = new View();
	view.apply({ reset: true, now: Date.now() + 5000, run: "r", totals: { records: 1 }, points: [[1, 2, 3, null, null]] });
	assert.equal(view.complete, false);
	assert.ok(Math.abs(view.now() - Date.now() - 5000) < 50);
	view.apply({ now: 0, complete: true, lanes: [lane("p", { sections: [[0, "active", true, "connected"]], loads: [{ id: "a", start: 1, lease: 9 }] })] });
	view.apply({ now: 0, lanes: [lane("p", { presence: "loading", sections: [[1, "loading", true, "load_started"]] })] });
	view.apply({ now: 0, lanes: [lane("p", { loads: [{ id: "a", start: 1, lease: 9, end: 5, result: "ok" }, { id: "a", start: 7, lease: 9 }] })] });
	view.apply({ now: 0, latency: { p: [3, 4], nobody: [1, 1] } });
	const p = view.lanes.get("p");
	assert.deepEqual(p.sections.map((s) => s[1]), ["active", "loading"]);
	assert.deepEqual(p.loads.map((l) => [l.start, l.end ?? 0]), [[1, 5], [7, 0]]);
	assert.deepEqual([p.pong_ms, p.ping_ms, view.complete, view.lanes.size], [3, 4, true, 1]);
	for (let i = 0; i < 1000; i++) view.apply({ now: 0, points: [[i]], lanes: [lane("p", { sections: [[i, "active", true, ""]] })] });
	assert.equal(view.points.length, 600);
	assert.equal(p.sections.length, 160);
	view.apply({ now: 0, forgotten: ["p"] });
	assert.equal(view.lanes.size, 0);
	view.apply({ reset: true, now: 0 });
	assert.equal(view.points.length, 0);
});

test("rows are chosen and ordered", () => {
	const view = new View();
	view.apply({ reset: true, now: 0, lanes: [
		lane("c", { group: "g2", presence: "away", deadline: 9, since: 3 }), lane("a", { presence: "gone", since: 9 }),
		lane("d", { group: "g1" }), lane("b", { group: "g1", presence: "loading", phase: "packages" }), lane("e", { group: "g2", presence: "away", deadline: 5 }),
	] });
	const rows = (how) => choose(view, { search: "", order: "name", hidden: new Set(), ...how }).map((l) => l.participant).join("");
	assert.equal(rows({}), "abcde");
	assert.equal(rows({ order: "group" }), "bdcea");
	assert.equal(rows({ order: "trouble" }), "ecbda");
	assert.equal(rows({ order: "recent" }), "acbde");
	assert.equal(rows({ hidden: new Set(["away"]) }), "abd");
	assert.equal(rows({ search: "G1 pack" }), "b");
	assert.deepEqual(view.counts(), { active: 1, loading: 1, blocked: 0, away: 2, gone: 1 });
});

test("durations are for people", () => {
	assert.deepEqual([-5, 0, 9949, 9950, 99_400, 125_000, 3_725_000].map(span), ["0.0 s", "0.0 s", "9.9 s", "10 s", "99 s", "2 min 05 s", "1 h 02 min"]);
});
