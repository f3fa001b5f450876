// The timeline: one canvas as large as the window on it, which draws the rows
// that can be seen. A thousand participants cost what forty do.

import { palette } from "./paint.js";
import { span } from "./view.js";

const AXIS = 24; // height of the time axis
const TICKS = [5, 10, 15, 30, 60, 120, 300, 600, 1200]; // seconds
// How often the picture moves by itself, in ms. A pixel is a third of a second
// in five minutes' view.
const PACE = 200;

export class Lanes {
	rows = [];
	selected = null; // participant
	seconds = 300;
	#view;
	#scroller;
	#space;
	#canvas;
	#c;
	#paint;
	#size = { width: 0, height: 0, scale: 1 };
	#elided = new Map();
	#dirty = true;
	#drawn = 0;
	#hover = -1;

	constructor(view, scroller, onSelect) {
		this.#view = view;
		this.#scroller = scroller;
		this.#space = scroller.querySelector("#space");
		this.#canvas = scroller.querySelector("canvas");
		this.#c = this.#canvas.getContext("2d", { alpha: false });
		new ResizeObserver(() => this.#resize()).observe(scroller);
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#resize());
		scroller.addEventListener("scroll", () => this.#soil(), { passive: true });
		this.#canvas.addEventListener("pointermove", (e) => this.#point(this.#row(e)));
		this.#canvas.addEventListener("pointerleave", () => this.#point(-1));
		this.#canvas.addEventListener("click", (e) => onSelect(this.rows[this.#row(e)]?.participant ?? null));
		scroller.addEventListener("keydown", (e) => {
			const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
			if (!step || this.rows.length === 0) return;
			e.preventDefault();
			const at = this.rows.findIndex((l) => l.participant === this.selected);
			const to = Math.min(Math.max(at + step, 0), this.rows.length - 1);
			onSelect(this.rows[to].participant);
			this.#reveal(to);
		});
		this.#resize();
		const frame = (t) => {
			if (this.#dirty || t - this.#drawn >= PACE) {
				this.#drawn = t;
				this.#dirty = false;
				this.#draw();
			}
			requestAnimationFrame(frame);
		};
		requestAnimationFrame(frame);
	}

	/** Shows these lanes, in this order. */
	show(rows) {
		this.rows = rows;
		this.#space.style.height = `${AXIS + rows.length * this.#height}px`;
		this.#soil();
	}

	#soil() {
		this.#dirty = true;
	}

	get #narrow() {
		return this.#size.width < 620;
	}

	get #height() {
		return this.#narrow ? 34 : 26;
	}

	#row(event) {
		const y = event.clientY - this.#canvas.getBoundingClientRect().top;
		return y < AXIS ? -1 : Math.floor((this.#scroller.scrollTop + y - AXIS) / this.#height);
	}

	#point(row) {
		if (row !== this.#hover) {
			this.#hover = row;
			this.#canvas.style.cursor = this.rows[row] ? "pointer" : "";
			this.#soil();
		}
	}

	#reveal(row) {
		const top = row * this.#height, room = this.#scroller.clientHeight - AXIS - this.#height;
		const at = this.#scroller.scrollTop;
		this.#scroller.scrollTop = Math.min(Math.max(at, top - room), top);
	}

	#resize() {
		const scale = devicePixelRatio || 1;
		const width = this.#scroller.clientWidth, height = this.#scroller.clientHeight;
		this.#size = { width, height, scale };
		this.#canvas.width = Math.round(width * scale);
		this.#canvas.height = Math.round(height * scale);
		this.#canvas.style.width = `${width}px`;
		this.#canvas.style.height = `${height}px`;
		this.#paint = palette(scale);
		this.#elided.clear();
		this.show(this.rows);
	}

	/** Cuts a text to a width; of a name the end is kept, in which names differ. */
	#elide(text, width, name = true) {
		const key = `${width} ${this.#c.font} ${name} ${text}`;
		let cut = this.#elided.get(key);
		if (cut === undefined) {
			if (this.#elided.size > 5000) this.#elided.clear();
			cut = text;
			if (this.#c.measureText(text).width > width) {
				const part = (n) => (name ? "…" + text.slice(-n) : text.slice(0, n) + "…");
				let fits = 1, not = text.length;
				while (not - fits > 1) {
					const n = (fits + not) >> 1;
					if (this.#c.measureText(part(n)).width > width) not = n;
					else fits = n;
				}
				cut = part(fits);
			}
			this.#elided.set(key, cut);
		}
		return cut;
	}

	#draw() {
		const c = this.#c, { width, height, scale } = this.#size, { colours } = this.#paint;
		const left = this.#narrow ? 104 : 216, right = this.#narrow ? 106 : 168;
		const room = Math.max(width - left - right, 40);
		const now = this.#view.now();
		// The right end of the timeline is the time to come, for what runs out then.
		const past = room * 0.86, perMS = past / (this.seconds * 1000);
		const x = (at) => left + past + (at - now) * perMS;
		c.setTransform(scale, 0, 0, scale, 0, 0);
		c.fillStyle = colours.card;
		c.fillRect(0, 0, width, height);
		c.textBaseline = "middle";

		const tall = this.#height, top = this.#scroller.scrollTop;
		const first = Math.floor(top / tall), last = Math.min(Math.ceil((top + height) / tall), this.rows.length);
		for (let i = first; i < last; i++) {
			this.#lane(i, AXIS + i * tall - top, { left, right, room, now, x });
		}
		this.#axis(left, room, now, x);
	}

	#axis(left, room, now, x) {
		const c = this.#c, { width, height } = this.#size, { colours } = this.#paint;
		c.fillStyle = colours.card;
		c.fillRect(0, 0, width, AXIS);
		c.font = "11px system-ui, sans-serif";
		c.textAlign = "center";
		const step = TICKS.find((s) => (this.seconds / s) * 58 <= room) ?? 3600;
		c.fillStyle = colours.soft;
		for (let s = step; s < this.seconds; s += step) {
			const at = x(now - s * 1000);
			if (at < left + 14) break;
			c.fillText(`−${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`, at, AXIS / 2);
		}
		c.fillStyle = colours.ink;
		c.fillText("now", x(now), AXIS / 2);
		c.fillStyle = colours.line;
		c.fillRect(0, AXIS - 1, width, 1);
		c.fillStyle = colours.accent;
		c.fillRect(Math.round(x(now)), AXIS - 4, 1, height - AXIS + 4);
	}

	#lane(i, y, { left, right, room, now, x }) {
		const c = this.#c, tall = this.#height, { width } = this.#size, { colours, patterns } = this.#paint;
		const lane = this.rows[i], group = lane.group;
		const picked = lane.participant === this.selected;
		if (picked || i === this.#hover) {
			c.fillStyle = colours.band;
			c.fillRect(0, y, width, tall);
		}
		if (picked) {
			c.fillStyle = colours.accent;
			c.fillRect(0, y, 3, tall);
		}
		// A bracket holds a group together.
		const above = group && this.rows[i - 1]?.group === group, below = group && this.rows[i + 1]?.group === group;
		if (!above && i > 0) {
			c.fillStyle = colours.line;
			c.fillRect(0, y, width, 1);
		}
		if (above || below) {
			c.fillStyle = colours.soft;
			const from = above ? y : y + 6, to = below ? y + tall : y + tall - 6;
			c.fillRect(7, from, 2, to - from);
			if (!above) c.fillRect(7, from, 5, 2);
			if (!below) c.fillRect(7, to - 2, 5, 2);
		}
		c.textAlign = "left";
		c.fillStyle = lane.presence === "gone" ? colours.soft : colours.ink;
		const small = "11px system-ui, sans-serif";
		c.font = "13px system-ui, sans-serif";
		if (this.#narrow) {
			c.fillText(this.#elide(lane.participant, left - 24), 16, y + (group ? 12 : tall / 2));
			c.font = small;
			c.fillStyle = colours.soft;
			if (group && !above) c.fillText(this.#elide(group, left - 24), 16, y + 25);
		} else {
			c.fillText(this.#elide(lane.participant, group && !above ? 116 : left - 24), 16, y + tall / 2);
			c.font = small;
			c.fillStyle = colours.soft;
			if (group && !above) c.fillText(this.#elide(group, left - 146), 140, y + tall / 2);
		}

		c.save();
		c.beginPath();
		c.rect(left, y, room, tall);
		c.clip();
		this.#sections(lane, y, left, now, x);
		this.#gaps(lane, y, left, x);
		this.#loads(lane, y, left, now, x);
		c.restore();

		c.fillStyle = patterns[lane.presence] ?? colours.line;
		c.fillRect(left + room + 8, y + tall / 2 - 6, 12, 12);
		c.font = this.#narrow ? small : "12px system-ui, sans-serif";
		c.fillStyle = lane.presence === "gone" ? colours.soft : colours.ink;
		c.fillText(this.#elide(status(lane, now, this.#narrow), right - 32, false), left + room + 26, y + tall / 2);
	}

	#sections(lane, y, left, now, x) {
		const c = this.#c, tall = this.#height, { colours, patterns } = this.#paint;
		const bar = { y: y + 5, tall: tall - 13 };
		const { sections } = lane;
		let end = now;
		for (let k = sections.length - 1; k >= 0; k--) {
			const [at, presence, connected] = sections[k];
			const from = Math.max(x(at), left), to = x(end);
			end = at;
			if (presence && to > from) {
				c.fillStyle = patterns[presence];
				c.fillRect(from, bar.y, Math.max(to - from, 1), bar.tall);
				if (presence !== "gone") {
					c.fillStyle = c.strokeStyle = colours[presence];
					c.fillRect(from, bar.y, 1, bar.tall);
					if (presence === "away") {
						c.lineWidth = 1;
						c.strokeRect(from + 0.5, bar.y + 0.5, Math.max(to - from - 1, 1), bar.tall - 1);
					}
					if (!connected) { // no socket: the lane is cut
						c.fillStyle = colours.card;
						c.fillRect(from, bar.y + bar.tall / 2 - 1, to - from, 2);
					}
				}
			}
			if (x(at) < left) break;
		}
		if (lane.deadline > now && lane.presence !== "gone") { // until then it may last
			const from = x(now) + 1, to = x(lane.deadline);
			c.globalAlpha = 0.35;
			c.fillStyle = colours[lane.presence];
			c.fillRect(from, bar.y + bar.tall / 2 - 2, to - from, 4);
			c.globalAlpha = 1;
			c.fillRect(to - 1, bar.y, 2, bar.tall);
		}
	}

	/** Where signs of life were missing before anything could be concluded, the lane is pale and has a line of dots. */
	#gaps(lane, y, left, x) {
		const c = this.#c, { colours } = this.#paint, top = y + 5, tall = this.#height - 13;
		for (const [start, end, why] of lane.gaps) {
			const from = Math.max(x(start), left), to = x(end);
			if (to <= from) continue;
			c.globalAlpha = 0.7;
			c.fillStyle = colours.card;
			c.fillRect(from, top, to - from, tall);
			c.globalAlpha = 1;
			c.fillStyle = why === "page_silent" ? colours.blocked : colours.away;
			for (let at = from + 1; at < to; at += 4) c.fillRect(at, top + tall / 2 - 1, 2, 2);
		}
	}

	#loads(lane, y, left, now, x) {
		const c = this.#c, { colours } = this.#paint, line = y + this.#height - 6;
		for (const load of lane.loads) {
			const from = x(load.start), to = x(load.end || now);
			if (to < left) continue;
			c.fillStyle = load.result && load.result !== "ok" ? colours.away : colours.ink;
			c.fillRect(from, line, Math.max(to - from, 2), 2.5);
			c.fillRect(from, line - 2, 1.5, 5);
			if (load.end) c.fillRect(to - 1.5, line - 2, 1.5, 5);
		}
	}
}

/** What a lane says of now. */
export function status(lane, now, short) {
	if (!lane.presence) return "not known";
	if (lane.presence === "gone") return short ? "gone" : `gone, ${words(lane.reason)}`;
	const left = lane.deadline ? Math.max(Math.ceil((lane.deadline - now) / 1000), 0) : -1;
	const time = left < 0 ? "" : left < 100 ? ` ${left} s` : ` ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
	if (short || left < 0) return lane.presence + time + (lane.waiting ? ", waits" : "");
	const what = lane.presence === "loading" && lane.phase ? `: ${lane.phase}` : "";
	return `${lane.presence}${time}${what}`;
}

export const words = (code) => (code ?? "").replaceAll("_", " ");

export { span };
