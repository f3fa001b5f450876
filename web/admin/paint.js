// Colours and patterns of the presences, for whoever cannot tell by colour.

import { PRESENCES } from "./view.js";

let known = { key: null, colours: null };

/** Colours as the style sheet has them now, and patterns made of them. */
export function palette(scale) {
	const colours = scheme();
	return { colours, patterns: Object.fromEntries(PRESENCES.map((p) => [p, pattern(p, colours, scale)])) };
}

function scheme() {
	const key = matchMedia("(prefers-color-scheme: dark)").matches;
	if (known.key === key) return known.colours;
	const colours = {};
	const probe = document.createElement("i");
	document.body.append(probe);
	for (const name of [...PRESENCES, "paper", "card", "band", "ink", "soft", "line", "accent", "mark"]) {
		probe.style.color = `var(--${name})`; // resolves light-dark()
		colours[name] = getComputedStyle(probe).color;
	}
	probe.remove();
	known = { key, colours };
	return colours;
}

const SIZE = 8;

function pattern(presence, colours, scale) {
	const tile = document.createElement("canvas");
	tile.width = tile.height = Math.round(SIZE * scale);
	const c = tile.getContext("2d");
	c.scale(tile.width / SIZE, tile.height / SIZE);
	c.fillStyle = c.strokeStyle = colours[presence];
	c.lineWidth = 1.6;
	switch (presence) {
		case "loading": // stripes
			c.fillRect(0, 0, SIZE, SIZE);
			c.strokeStyle = colours.mark;
			c.globalAlpha = 0.55;
			lines(c, [[-2, 2, 2, -2], [-2, 10, 10, -2], [6, 10, 10, 6]]);
			break;
		case "blocked": // dots
			c.fillRect(0, 0, SIZE, SIZE);
			c.fillStyle = colours.mark;
			for (const [x, y] of [[2, 2], [6, 6]]) {
				c.beginPath();
				c.arc(x, y, 1.35, 0, 7);
				c.fill();
			}
			break;
		case "away": // hollow: there is nothing
			c.globalAlpha = 0.16;
			c.fillRect(0, 0, SIZE, SIZE);
			c.globalAlpha = 1;
			lines(c, [[0, 0, 8, 8], [0, 8, 8, 0]]);
			break;
		case "gone":
			c.globalAlpha = 0.25;
			c.fillRect(0, 3.25, SIZE, 1.5);
			break;
		default:
			c.fillRect(0, 0, SIZE, SIZE);
	}
	const made = c.createPattern(tile, "repeat");
	made.setTransform(new DOMMatrix().scale(1 / scale)); // the lanes' canvas is scaled
	return made;
}

function lines(c, all) {
	for (const [x1, y1, x2, y2] of all) {
		c.beginPath();
		c.moveTo(x1, y1);
		c.lineTo(x2, y2);
		c.stroke();
	}
}
