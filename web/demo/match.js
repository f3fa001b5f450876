// One game with the partner: steps it in lockstep, draws it, says why it waits,
// and compares the results in the end.
import { startBar, startClock } from "./clock.js";
import { Garden } from "./garden.js";
import { Input } from "./input.js";
import { Lockstep } from "./lockstep.js";
import { duration } from "./partner.js";
import { $, enter } from "./scenes.js";

const TICK_MS = 250; // between two steps
const PATIENCE_MS = 700; // without a step until the page says that it waits
const ASK_MS = 2000; // without a step until the partner's page is asked again
const SAVE_TICKS = 8; // between two saves

export class Match {
	constructor({ session, progress, partner, participant, ticks, autoplay }) {
		Object.assign(this, { session, progress, partner, participant, ticks, autoplay });
		this.early = []; // messages that came while Python was loading
		this.offline = false;
		session.on("message", ({ data }) => this.receive(data));
		session.on("reconnecting", () => (this.offline = true));
		session.on("restored", () => {
			this.offline = false;
			this.lockstep?.greet(); // something may have been lost with the connection
		});
	}

	get me() {
		return this.progress.members.indexOf(this.participant);
	}

	receive(data) {
		if (data?.result) return this.compare(data.result);
		if (!this.lockstep) return this.early.push(data);
		try {
			this.lockstep.receive(data);
		} catch (err) {
			this.reject(err);
		}
		// Timers of a hidden page are slow; its player does not keep the partner waiting.
		if (document.hidden) this.act();
	}

	// send needs no answer: what is lost, the partner's page asks for.
	send(data) {
		this.session.send(data).catch((err) => console.warn("sending failed:", err));
	}

	// join connects this page to the partner's.
	join(advance) {
		this.lockstep = new Lockstep({
			me: this.me,
			page: crypto.getRandomValues(new Uint32Array(2)).join("-"),
			moves: this.progress.moves,
			advance,
			send: (data) => this.send(data),
		});
		this.lockstep.greet();
		for (const data of this.early.splice(0)) this.lockstep.receive(data);
	}

	// play resolves when the game is over.
	async play() {
		enter("play");
		this.progress.save({ scene: "play" });
		$("#me").dataset.player = this.me;
		$("#other").dataset.player = 1 - this.me;
		this.input ??= new Input($("#pad"));
		this.garden ??= new Garden($("#board"), TICK_MS);
		this.garden.begin(this.me);
		this.show(this.environment.reset(this.ticks, this.progress.group));
		const over = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
		this.stepped = this.asked = performance.now();
		this.timer = setInterval(() => this.turn(), TICK_MS / 5);
		this.join((moves) => this.advance(moves));
		await over;
		clearInterval(this.timer);
	}

	// stop forgets the game: another one may follow, with another partner.
	stop() {
		clearInterval(this.timer);
		this.lockstep = this.theirs = undefined;
		this.early = [];
	}

	advance(moves) {
		const state = this.environment.advance(moves);
		this.stepped = performance.now();
		this.show(state);
		if (state.done) this.resolve();
		return state.done;
	}

	show(state) {
		this.state = state;
		this.garden.show(state);
		const { score, lanterns, tick, length } = state;
		const seconds = ((length - tick) * TICK_MS) / 1000;
		Object.assign($("#board").dataset, { tick, score });
		$("#lanterns").textContent = `${score} of ${lanterns} lanterns`;
		$("#time").textContent = `${duration(seconds)} left`;
	}

	turn() {
		const now = performance.now();
		if (now - this.stepped >= TICK_MS) this.act();
		const { lockstep } = this;
		if (lockstep.waiting && now - Math.max(this.stepped, this.asked) >= ASK_MS) {
			this.asked = now;
			lockstep.greet();
		}
		this.explain(now);
	}

	act() {
		const { lockstep } = this;
		if (lockstep.over || lockstep.mine !== null || lockstep.peer === null) return;
		lockstep.choose(this.autoplay ? this.environment.suggest(this.me) : this.input.take());
		if (lockstep.tick % SAVE_TICKS === 0) this.progress.save({ moves: lockstep.moves });
	}

	// explain covers the garden while the game cannot go on, and says why.
	explain(now) {
		const { partner } = this;
		const late = this.lockstep.waiting && now - this.stepped > PATIENCE_MS;
		const why = this.offline ? "offline" : partner.busy ? partner.state : late ? "late" : "";
		const pause = $("#pause");
		if (why !== this.why) {
			this.why = why;
			pause.hidden = why === "";
			pause.dataset.why = why;
			const clock = $("#pause .clock");
			const bar = $("#pause .bar");
			if (partner.busy && !this.offline) {
				partner.count(clock, bar);
			} else {
				startClock(clock);
				startBar(bar);
			}
		}
		if (why === "") return;
		$("#pause .title").textContent =
			why === "offline" ? "Your connection was lost" : why === "late" ? "Waiting for your partner" : partner.sentence();
		$("#pause .detail").textContent = why === "offline" ? "It comes back by itself." : why === "late" ? "" : partner.detail();
		partner.refresh();
	}

	// done shows the result and compares it with the partner's.
	async done() {
		const { progress } = this;
		if (!progress.result) {
			const { score, lanterns, tick, digest } = this.state;
			await progress.save({ scene: "done", moves: this.lockstep.moves, result: { score, lanterns, tick, digest } });
		} else if (!this.lockstep) {
			this.join(() => true); // after a refresh: for a partner who was refreshed as well
		}
		const { score, lanterns, tick, digest } = progress.result;
		enter("done");
		$("#result").textContent = score === lanterns ? "All lanterns burn" : `${score} of ${lanterns} lanterns burn`;
		$("#summary").textContent = `The two of you took ${duration((tick * TICK_MS) / 1000)}, ${tick} steps.`;
		$("#lamps").replaceChildren(
			...Array.from({ length: lanterns }, (_, i) => {
				const lamp = document.createElement("i");
				lamp.classList.toggle("lit", i < score);
				return lamp;
			}),
		);
		// Whoever has finished is stranded by nobody. It is said again after a refresh.
		this.session.finish().catch((err) => err.code === "study_over" || console.warn("finishing failed:", err));
		Object.assign($("#digest").dataset, { digest, score });
		$("#digest").textContent = digest;
		this.tell(true);
		if (this.theirs) this.compare(this.theirs);
	}

	// tell sends this player's result; ask: and wants the partner's.
	tell(ask) {
		this.send({ result: { digest: this.progress.result.digest, ask } });
	}

	compare(theirs) {
		this.theirs = theirs;
		const mine = this.progress.result?.digest;
		if (!mine) return; // this page is not there yet
		const same = mine === theirs.digest;
		$("#match").dataset.match = same ? "yes" : "no";
		$("#match").textContent = `${theirs.digest} ${same ? "✓ the same" : "differs"}`;
		if (theirs.ask) this.tell(false);
	}
}
