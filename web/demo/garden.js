// Draws the garden: takes what the environment's render() returned and moves
// the players smoothly from where they were.
export class Garden {
	// glide is the time in ms in which the players walk from one place to the next.
	constructor(canvas, glide) {
		Object.assign(this, { canvas, glide });
		this.context = canvas.getContext("2d");
		this.still = matchMedia("(prefers-reduced-motion: reduce)");
		new ResizeObserver(() => this.schedule()).observe(canvas);
	}

	// begin starts a game in which this player's place is me, 0 or 1.
	begin(me) {
		Object.assign(this, { me, state: undefined, facing: [[1, 0], [-1, 0]] });
	}

	// show draws a state; the first one appears at once.
	show(state) {
		this.from = this.state ? this.places() : state.players;
		state.players.forEach(([x, y], i) => {
			const [px, py] = this.state?.players[i] ?? [x, y];
			if (x !== px || y !== py) this.facing[i] = [x - px, y - py];
		});
		this.state = state;
		this.shown = performance.now();
		this.schedule();
	}

	schedule() {
		if (this.pending || !this.state) return;
		this.pending = true;
		requestAnimationFrame(() => {
			this.pending = false;
			this.draw();
			if (!this.arrived() || (this.state.stones.length > 0 && !this.still.matches)) this.schedule();
		});
	}

	arrived() {
		return this.still.matches || performance.now() - this.shown >= this.glide;
	}

	// places says where the players are drawn now, on their way.
	places() {
		const part = this.arrived() ? 1 : (performance.now() - this.shown) / this.glide;
		return this.state.players.map(([x, y], i) => {
			const [fx, fy] = this.from[i];
			return [fx + (x - fx) * part, fy + (y - fy) * part];
		});
	}

	draw() {
		const { canvas, context: c, state } = this;
		const ratio = devicePixelRatio;
		const width = Math.round(canvas.clientWidth * ratio);
		const unit = width / state.width;
		const height = Math.round(unit * state.height);
		if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
		const style = getComputedStyle(canvas);
		const color = (name) => style.getPropertyValue(name).trim();
		c.setTransform(unit, 0, 0, unit, 0, 0); // one unit is one place

		c.fillStyle = color("--ground");
		c.fillRect(0, 0, state.width, state.height);
		c.fillStyle = color("--ground-alt");
		for (let x = 0; x < state.width; x++) {
			for (let y = x % 2; y < state.height; y += 2) c.fillRect(x, y, 1, 1);
		}
		for (const place of state.lit.flat()) this.glow(place, 1.9, color("--glow"), 0.4);
		for (const place of state.hedges) this.hedge(place, color("--hedge"), color("--hedge-top"));
		for (const place of state.lit.flat()) this.lamp(place, color("--light"), color("--lamp"));
		const beat = this.still.matches ? 0.5 : (1 + Math.sin(performance.now() / 320)) / 2;
		for (const place of state.stones) {
			const taken = state.players.some(([x, y]) => x === place[0] && y === place[1]);
			this.glow(place, 0.9, color("--glow"), taken ? 0.6 : 0.2 + 0.3 * beat);
			this.stone(place, color("--light"), taken);
		}
		const places = this.places();
		const together = Math.hypot(places[0][0] - places[1][0], places[0][1] - places[1][1]) < 0.5;
		const order = this.me === 0 ? [1, 0] : [0, 1]; // this player on top
		for (const i of order) {
			const [x, y] = places[i];
			this.player([x + (together ? (i - 0.5) * 0.3 : 0), y], i, color);
		}
	}

	glow([x, y], radius, rgb, strength) {
		const { context: c } = this;
		const g = c.createRadialGradient(x + 0.5, y + 0.5, 0.1, x + 0.5, y + 0.5, radius);
		g.addColorStop(0, `rgb(${rgb} / ${strength})`);
		g.addColorStop(1, `rgb(${rgb} / 0)`);
		c.fillStyle = g;
		c.fillRect(x + 0.5 - radius, y + 0.5 - radius, 2 * radius, 2 * radius);
	}

	hedge([x, y], side, top) {
		const { context: c } = this;
		c.fillStyle = side;
		this.box(x + 0.04, y + 0.06, 0.92, 0.9, 0.24);
		c.fillStyle = top;
		this.box(x + 0.04, y + 0.02, 0.92, 0.76, 0.24);
	}

	stone([x, y], color, taken) {
		const { context: c } = this;
		c.strokeStyle = color;
		c.lineWidth = 0.07;
		c.setLineDash(taken ? [] : [0.2, 0.13]);
		c.beginPath();
		c.arc(x + 0.5, y + 0.5, 0.4, 0, 2 * Math.PI);
		c.stroke();
		c.setLineDash([]);
	}

	lamp([x, y], light, frame) {
		const { context: c } = this;
		c.fillStyle = frame;
		this.box(x + 0.34, y + 0.26, 0.32, 0.5, 0.06);
		c.fillStyle = light;
		this.box(x + 0.39, y + 0.33, 0.22, 0.36, 0.05);
	}

	player([x, y], i, color) {
		const { context: c } = this;
		const [dx, dy] = this.facing[i];
		c.fillStyle = color("--shadow");
		c.beginPath();
		c.ellipse(x + 0.5, y + 0.86, 0.3, 0.09, 0, 0, 2 * Math.PI);
		c.fill();
		c.fillStyle = color(i === 0 ? "--first" : "--second");
		if (i === 0) {
			c.beginPath();
			c.arc(x + 0.5, y + 0.5, 0.34, 0, 2 * Math.PI);
			c.fill();
		} else {
			this.box(x + 0.19, y + 0.19, 0.62, 0.62, 0.16); // told apart without colors, too
		}
		if (i === this.me) {
			c.strokeStyle = color("--me");
			c.lineWidth = 0.05;
			c.stroke();
		}
		for (const side of [-1, 1]) {
			c.fillStyle = "#fff";
			c.beginPath();
			c.arc(x + 0.5 + side * 0.12 + dx * 0.07, y + 0.46 + dy * 0.07, 0.085, 0, 2 * Math.PI);
			c.fill();
			c.fillStyle = "#16202c";
			c.beginPath();
			c.arc(x + 0.5 + side * 0.12 + dx * 0.105, y + 0.46 + dy * 0.105, 0.045, 0, 2 * Math.PI);
			c.fill();
		}
	}

	box(x, y, w, h, r) {
		const { context: c } = this;
		c.beginPath();
		c.roundRect(x, y, w, h, r);
		c.fill();
	}
}
