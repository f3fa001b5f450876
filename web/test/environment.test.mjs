// The demo's environment in the real Pyodide, as two browsers would run it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { before } from "node:test";

import { loadPyodide } from "pyodide";

import { Environment } from "../demo/environment.js";

const source = await readFile(new URL("../demo/env.py", import.meta.url), "utf8");
let one, two;

before(async () => {
	one = new Environment(await loadPyodide(), source);
	two = new Environment(await loadPyodide(), source);
});

// robots plays a game with the environment's own suggestions.
function robots(env, length, seed) {
	let state = env.reset(length, seed);
	let moves = "";
	while (!state.done) {
		const pair = `${env.suggest(0)}${env.suggest(1)}`;
		moves += pair;
		state = env.advance(pair);
	}
	return { moves, state };
}

test("the same seed and actions make the same game in two interpreters", () => {
	for (const seed of ["g1", "g2", "a group with ünïcode"]) {
		const { moves, state } = robots(one, 240, seed);
		const first = two.reset(240, seed);
		assert.deepEqual(first, one.reset(240, seed));
		assert.deepEqual(two.advance(moves), state, "all at once, as after a refresh");
		assert.match(state.digest, /^[0-9a-f]{16}$/);
	}
});

test("another seed or another action makes another digest", () => {
	const digests = new Set();
	for (const [seed, moves] of [["a", "0000"], ["b", "0000"], ["a", "0001"], ["a", "0100"], ["a", "000000"]]) {
		one.reset(240, seed);
		digests.add(one.advance(moves).digest);
	}
	assert.equal(digests.size, 5);
});

test("every garden can be won, and a game ends in time", () => {
	for (let seed = 0; seed < 40; seed++) {
		const { state } = robots(one, 240, `seed ${seed}`);
		assert.equal(state.score, state.lanterns, `seed ${seed}`);
		assert.ok(state.tick < 100, `seed ${seed} took ${state.tick} ticks`);
		assert.equal(state.lit.length, state.score);
	}
	one.reset(3, "short");
	assert.equal(one.advance("0000").done, false);
	assert.equal(one.advance("00").done, true);
	assert.throws(() => one.advance("00"), /the game is over/);
});

test("nobody walks through hedges or out of the garden", () => {
	let state = one.reset(240, "walls");
	const hedges = new Set(state.hedges.map(String));
	for (let tick = 0; tick < 240 && !state.done; tick++) {
		const before = state.players;
		state = one.advance(`${1 + ((tick * 7) % 4)}${1 + ((tick * tick) % 4)}`);
		state.players.forEach(([x, y], i) => {
			assert.ok(x >= 0 && y >= 0 && x < state.width && y < state.height);
			assert.ok(!hedges.has(String([x, y])));
			assert.ok(Math.abs(x - before[i][0]) + Math.abs(y - before[i][1]) <= 1);
		});
	}
});

test("a lantern needs both players on its two stones", () => {
	const { moves } = robots(one, 240, "both");
	let state = one.reset(240, "both");
	for (let i = 0; i < moves.length; i += 2) {
		const stones = state.stones.map(String).sort();
		const lit = state.score;
		state = one.advance(moves.slice(i, i + 2));
		const standing = state.players.map(String).sort();
		assert.equal(state.score - lit, Number(String(stones) === String(standing)));
	}
});
