import assert from "node:assert/strict";
import test from "node:test";

import { Lockstep } from "../demo/lockstep.js";

const LENGTH = 60;

// A small generator, so that a failing run can be repeated from its seed.
function random(seed) {
	let state = seed >>> 0;
	return (n) => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return Math.floor((state / 2 ** 32) * n);
	};
}

// A world in which two players have pages that come and go, a server that
// keeps each player's messages in order, and a store of saved games.
class World {
	constructor() {
		this.saved = ["", ""];
		this.pages = [null, null];
		this.mail = [[], []]; // for each player, what has not been read yet
		this.lives = [0, 0];
	}

	open(me) {
		const page = `${"ab"[me]}${++this.lives[me]}`;
		const sent = this.mail[1 - me];
		this.pages[me] = new Lockstep({
			me,
			page,
			moves: this.saved[me],
			send: (data) => sent.push(structuredClone(data)),
			advance(moves) {
				this.played = (this.played ?? "") + moves;
				return this.moves.length >= 2 * LENGTH;
			},
		});
		this.pages[me].greet();
	}

	deliver(me) {
		if (this.pages[me] && this.mail[me].length > 0) this.pages[me].receive(this.mail[me].shift());
	}

	settle() {
		while (this.mail.some((m) => m.length > 0)) {
			this.deliver(0);
			this.deliver(1);
		}
	}
}

test("two pages play to the end", () => {
	const world = new World();
	world.open(0);
	world.open(1);
	world.settle();
	for (let tick = 0; tick < LENGTH; tick++) {
		world.pages[0].choose(tick % 5);
		assert.equal(world.pages[0].tick, tick, "a tick was played on one player's action");
		world.pages[1].choose((tick + 1) % 5);
		world.settle();
	}
	assert.ok(world.pages[0].over && world.pages[1].over);
	assert.equal(world.pages[0].moves, world.pages[1].moves);
	assert.equal(world.pages[0].moves.slice(0, 6), "011223", "the first player's action stands first");
});

test("nobody acts alone, and no action is changed", () => {
	const world = new World();
	world.open(0);
	world.pages[0].choose(1);
	assert.equal(world.pages[0].mine, null, "chose before the other page appeared");
	world.open(1);
	world.settle();
	world.pages[0].choose(1);
	world.pages[0].choose(2);
	world.settle();
	world.pages[1].choose(3);
	world.settle();
	assert.equal(world.pages[0].moves, "13");
	assert.equal(world.pages[1].moves, "13");
});

test("a refreshed page keeps to the action it had sent", () => {
	const world = new World();
	world.open(0);
	world.open(1);
	world.settle();
	world.pages[0].choose(4);
	world.settle(); // the other one has it
	world.open(0); // nothing was saved
	world.settle();
	assert.equal(world.pages[0].mine, "4");
	world.pages[0].choose(1);
	world.pages[1].choose(2);
	world.settle();
	assert.equal(world.pages[0].moves, "42");
	assert.equal(world.pages[1].moves, "42");
});

test("a refreshed page plays what it missed", () => {
	const world = new World();
	world.open(0);
	world.open(1);
	world.settle();
	for (let tick = 0; tick < 10; tick++) {
		world.pages[0].choose(1);
		world.pages[1].choose(2);
		world.settle();
	}
	world.open(1);
	world.settle();
	assert.equal(world.pages[1].played, "12".repeat(10));
});

test("a page that has finished still helps the one that was refreshed", () => {
	const world = new World();
	world.open(0);
	world.open(1);
	world.settle();
	while (!world.pages[0].over) {
		world.pages[0].choose(0);
		world.pages[1].choose(0);
		world.deliver(0);
		if (!world.pages[0].over) world.settle();
	}
	world.open(1);
	world.settle();
	assert.ok(world.pages[1].over);
});

test("games that differ are an error, not a guess", () => {
	const world = new World();
	world.open(0);
	world.pages[0].play("11");
	const hello = { page: "b1", to: "a1", reply: true, moves: "2222", mine: null, yours: null };
	assert.throws(() => world.pages[0].receive({ hello }), /differ/);
});

// Anything may happen at any time: refreshes of one or both, saves that are
// older than the game, messages that are lost or come twice, long silences.
test("3,000 random games end the same on both sides", () => {
	for (let seed = 1; seed <= 3000; seed++) {
		const below = random(seed);
		const world = new World();
		world.open(0);
		world.open(1);
		let events = 0;
		while (!world.pages.every((p) => p.over)) {
			assert.ok(++events < 50_000, `seed ${seed}: the game does not go on`);
			const me = below(2);
			const dice = below(200);
			if (dice < 1) world.open(me);
			else if (dice < 2) (world.open(0), world.open(1));
			else if (dice < 4) world.mail[me].shift();
			else if (dice < 8) world.pages[me].greet(); // what the page does when it waits too long
			else if (dice < 14) world.saved[me] = world.pages[me].moves;
			else if (dice < 18) world.mail[me].push(...structuredClone(world.mail[me].slice(-1))); // sent again
			else if (dice < 90) world.pages[me].choose(below(5));
			else world.deliver(me);
			const [a, b] = world.pages.map((p) => p.moves);
			assert.ok(a.startsWith(b) || b.startsWith(a), `seed ${seed}: ${a} and ${b}`);
		}
		assert.equal(world.pages[0].moves, world.pages[1].moves, `seed ${seed}`);
		assert.equal(world.pages[0].played, world.pages[0].moves, `seed ${seed}: a tick was played twice or not at all`);
	}
});
