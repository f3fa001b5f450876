// Lockstep keeps two copies of a game the same by exchanging only actions: a
// tick is played when both actions for it are known, and an action that was
// sent is never changed.
//
// The game so far is the string of all actions, two digits a tick (the first
// player's, then the second's): it is short, so that a page which was refreshed
// simply receives all of it. What two pages have played never contradicts, so
// that the longer string wins.
//
// Pages find each other by hellos. A page plays only once it has received one
// that is addressed to it: who wrote that knew of this page, and so everything
// its predecessor (the same player before a refresh) had sent is known too.
// Moves name both pages; one left over from a page that is gone is ignored.
export class Lockstep {
	// me: this player's place, 0 or 1.
	// page: an id of this page instance, another one after a refresh.
	// moves: the game as far as this page knows it.
	// advance(moves): plays one or more ticks; returns true when the game is over.
	// send(data): gives data to the other player, in order.
	constructor({ me, page, moves = "", advance, send }) {
		Object.assign(this, { me, page, advance, send });
		this.moves = "";
		this.over = false;
		this.peer = null; // the other player's page, once it has greeted this one
		this.mine = null; // this player's action for the next tick, once sent
		this.theirs = null; // the other's, once received
		this.play(moves);
	}

	get tick() {
		return this.moves.length / 2;
	}

	// waiting: it is the other player's turn to act, or to appear.
	get waiting() {
		return !this.over && (this.peer === null || this.mine !== null);
	}

	// greet tells the other player's page where this one stands, and asks for an
	// answer. Call it once in the beginning, and whenever something may be lost.
	greet() {
		this.hello(this.peer, true);
	}

	// choose settles this player's action, a digit, for the next tick. It does
	// nothing while the action before is still open.
	choose(action) {
		if (this.over || this.peer === null || this.mine !== null) return;
		this.mine = String(action);
		this.send({ move: { page: this.page, to: this.peer, tick: this.tick, action: this.mine } });
		this.proceed();
	}

	// receive takes what the other player's page sent.
	receive(data) {
		if (data?.hello) this.onHello(data.hello);
		else if (data?.move) this.onMove(data.move);
	}

	onHello({ page, to, reply, moves, mine, yours }) {
		if (to === null) {
			// Another page, or one that has not heard of this one yet.
			if (page !== this.peer) this.peer = null;
			this.hello(page, false);
			return;
		}
		if (to !== this.page) return; // meant for this page's predecessor
		if (!moves.startsWith(this.moves) && !this.moves.startsWith(moves)) {
			throw new Error("the two players' games differ");
		}
		const known = this.peer === page;
		this.peer = page;
		if (moves.length > this.moves.length) {
			this.mine = this.theirs = null;
			this.play(moves.slice(this.moves.length));
		}
		if (moves.length === this.moves.length) {
			this.theirs ??= mine;
			this.mine ??= yours; // chosen before this page was refreshed
		}
		if (reply || !known) this.hello(page, false);
		this.proceed();
	}

	onMove({ page, to, tick, action }) {
		if (page !== this.peer || to !== this.page || tick < this.tick) return;
		if (tick > this.tick) {
			this.greet(); // one was lost on the way
			return;
		}
		this.theirs = action;
		this.proceed();
	}

	hello(to, reply) {
		const { page, moves, mine, theirs } = this;
		this.send({ hello: { page, to, reply, moves, mine, yours: theirs } });
	}

	proceed() {
		if (this.mine === null || this.theirs === null || this.over) return;
		const pair = this.me === 0 ? this.mine + this.theirs : this.theirs + this.mine;
		this.mine = this.theirs = null;
		this.play(pair);
	}

	play(moves) {
		if (moves === "") return;
		this.moves += moves;
		this.over = this.advance(moves) === true;
	}
}
