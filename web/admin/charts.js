import uPlot from "./uplot.js";
import { palette } from "./paint.js";

// The results that are not ok, in the colour of trouble.
const BAD = ["failed", "expired", "abandoned"];

const axis = (colours, more) => ({
	stroke: colours.soft, grid: { stroke: colours.line, width: 1 }, ticks: { stroke: colours.line, width: 1 }, font: "11px system-ui, sans-serif", ...more,
});

// uPlot measures and draws as it is made: each chart has a task of its own.
const later = () => new Promise((resolve) => setTimeout(resolve));

/** The two charts. Update draws at most once a second; that is what they need. */
export class Charts {
	#distribution;
	#latency;
	#elements;
	#last;

	constructor(distribution, latency) {
		this.#elements = { distribution, latency };
		const make = async () => {
			this.#makeDistribution();
			await later();
			this.#makeLatency();
			await later();
			if (this.#last) this.update(this.#last);
		};
		make().then(() => {
			matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
			const fit = new ResizeObserver(() => {
				for (const chart of [this.#distribution, this.#latency]) fitted(chart);
			});
			fit.observe(distribution);
			fit.observe(latency);
		});
	}

	#makeDistribution() {
		this.#distribution?.destroy();
		const { colours } = palette(1);
		const { distribution } = this.#elements;
		const bars = uPlot.paths.bars({ size: [0.8, 60] });
		const labels = (u, ticks) => ticks.map((i) => (Number.isInteger(i) ? this.#label(i) : ""));
		this.#distribution = new uPlot({
			...size(distribution),
			cursor: { drag: { x: false, y: false } },
			scales: { x: { time: false, range: (u, min, max) => [min - 0.6, max + 0.6] }, y: { range: (u, min, max) => [0, Math.max(max * 1.08, 4)] } },
			axes: [
				axis(colours, { values: labels, splits: (u) => u.data[0], grid: { show: false }, rotate: -90, size: 44 }),
				axis(colours, { size: 36, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] }),
			],
			series: [
				{ label: "took up to", value: (u, i) => (i == null ? "" : this.#label(i)) },
				{ label: "not completed", fill: colours.away, stroke: colours.away, width: 0, paths: bars, points: { show: false }, value: (u, v, s, i) => (i == null ? "" : u.data[1][i] - u.data[2][i]) },
				{ label: "ok", fill: colours.loading, stroke: colours.loading, width: 0, paths: bars, points: { show: false } },
			],
		}, [[], [], []], distribution);
	}

	#makeLatency() {
		this.#latency?.destroy();
		const { colours } = palette(1);
		const { latency } = this.#elements;
		const line = (label, stroke, dash) => ({ label, stroke, dash, width: 1.5, spanGaps: false, points: { show: false }, value: (u, v) => (v == null ? "–" : v.toFixed(1)) });
		this.#latency = new uPlot({
			...size(latency),
			cursor: { drag: { x: false, y: false } },
			scales: { y: { range: (u, min, max) => [0, Math.max(max * 1.1, 5)] } },
			axes: [axis(colours), axis(colours, { size: 44, values: (u, ticks) => ticks.map((ms) => (ms >= 1000 ? `${ms / 1000}k` : `${ms}`)) })],
			series: [
				{ value: "{HH}:{mm}:{ss}" },
				line("browsers", colours.active), line("95 %", colours.active, [4, 3]),
				line("pages", colours.blocked), line("95 %", colours.blocked, [4, 3]),
			],
		}, [[], [], [], [], []], latency);
	}

	#label(i) {
		const bounds = this.#last?.totals?.bounds ?? [];
		return i < bounds.length ? `${bounds[i]}`.replace(/^0/, "") : `${bounds.at(-1)}+`;
	}

	update(view) {
		this.#last = view;
		const { totals, points } = view;
		if (totals && this.#distribution) {
			const buckets = totals.bounds.length + 1, times = totals.load_times;
			const ok = Array.from({ length: buckets }, (_, i) => times.ok?.[i] ?? 0);
			const all = ok.map((n, i) => n + BAD.reduce((sum, result) => sum + (times[result]?.[i] ?? 0), 0));
			this.#distribution.setData([ok.map((_, i) => i), all, ok]);
		}
		this.#latency?.setData([0, 1, 2, 3, 4].map((k) => points.map((p) => (k === 0 ? p[0] / 1000 : p[k]))));
	}
}

function fitted(chart) {
	const is = { width: chart.width, height: chart.height }, want = size(chart.root.parentElement);
	if (is.width !== want.width || is.height !== want.height) chart.setSize(want);
}

function size(element) {
	return { width: Math.max(element.clientWidth, 120), height: 190 };
}
