import { Details } from "./details.js";
import { Lanes, words } from "./lanes.js";
import { palette } from "./paint.js";
import { choose, PRESENCES, View } from "./view.js";

const $ = (selector) => document.querySelector(selector);
const view = new View();
const shown = { search: "", order: "group", hidden: new Set() };
let selected = null;

const lanes = new Lanes(view, $("#lanes"), select);
const details = new Details($("#details"), $("#confirm"), () => select(null));
let charts = null; // they come when the lanes are there
globalThis.dashboard = { view, lanes };

function select(participant) {
	selected = lanes.selected = participant;
	refresh();
	details.show(view.lanes.get(selected), view.now());
}

/** Chooses the rows anew. */
function refresh() {
	const rows = choose(view, shown);
	lanes.show(rows);
	const { size } = view.lanes;
	$("#shown").textContent = `${rows.length === size ? "" : `${rows.length} of `}${size} participant${size === 1 ? "" : "s"}`;
	$("#nobody").hidden = rows.length > 0 || !view.complete;
	const counts = view.counts();
	for (const p of PRESENCES) counters[p].textContent = counts[p];
	stale = false;
}

// Filters that are counters.
const counters = {};
for (const presence of PRESENCES) {
	const button = document.createElement("button");
	button.ariaPressed = "true";
	button.title = `Show or hide who is ${presence}`;
	const swatch = document.createElement("canvas"), count = document.createElement("b");
	button.append(swatch, count, presence);
	button.addEventListener("click", () => {
		const hide = button.ariaPressed === "true";
		button.ariaPressed = String(!hide);
		if (hide) shown.hidden.add(presence);
		else shown.hidden.delete(presence);
		refresh();
	});
	counters[presence] = count;
	$("#counters").append(button);
}

function swatches() {
	const scale = devicePixelRatio || 1, { patterns } = palette(scale);
	document.querySelectorAll("#counters canvas").forEach((swatch, i) => {
		swatch.width = 26 * scale;
		swatch.height = 16 * scale;
		const c = swatch.getContext("2d");
		c.scale(scale, scale);
		c.fillStyle = patterns[PRESENCES[i]];
		c.fillRect(0, 0, 26, 16);
	});
}
swatches();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", swatches);

$("#search").addEventListener("input", (e) => {
	shown.search = e.target.value;
	refresh();
});
$("#order").addEventListener("change", (e) => {
	shown.order = e.target.value;
	refresh();
});
$("#window").addEventListener("change", (e) => {
	lanes.seconds = Number(e.target.value);
	refresh();
});
$("#logout").addEventListener("click", async () => {
	await fetch("/admin/logout", { method: "POST" });
	location.replace("/admin/login");
});

let stale = true; // the rows, or their order, may be others

function totals() {
	const t = view.totals;
	if (!t) return;
	const list = (of) => Object.entries(of).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${words(name)}`).join(", ") || "none";
	$("#totals").replaceChildren(...[
		["Connections", t.connections], ["Times away", t.drops], ["Times blocked", t.blocks], ["Gone", list(t.gone)],
		["Loads", list(t.loads)], ["Refused", t.refused], ["Log", `${t.records} events`],
	].flatMap(([name, value]) => {
		const dt = document.createElement("dt"), dd = document.createElement("dd");
		dt.textContent = name;
		dd.textContent = value;
		return [dt, dd];
	}));
	$("#loads-total").textContent = `(${Object.values(t.loads).reduce((a, b) => a + b, 0)})`;
	$("#run").textContent = `run ${view.run}`;
}

// What need not follow every change follows a few times a second, each in a
// task of its own.
setInterval(() => stale && refresh(), 250);
setInterval(() => details.show(view.lanes.get(selected), view.now()), 500);
setInterval(totals, 1000);
setTimeout(async () => {
	const { Charts } = await import("./charts.js");
	charts = new Charts($("#distribution"), $("#latency"));
	setInterval(() => document.hidden || charts.update(view), 1000);
}, 200);

function link(state, text) {
	$("#link").dataset.state = state;
	$("#link").textContent = text;
}

function listen() {
	const source = new EventSource("/admin/events");
	source.onopen = () => link("live", "live");
	source.onmessage = ({ data }) => {
		view.apply(JSON.parse(data));
		stale = true;
	};
	source.onerror = async () => {
		link("lost", "the server does not answer; trying again");
		if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
		source.close();
		// A refusal: the login has ended, or too many are watching.
		const answer = await fetch("/admin/", { redirect: "manual" }).catch(() => null);
		if (answer?.type === "opaqueredirect") location.replace("/admin/login");
		else setTimeout(listen, 3000);
	};
}
listen();
