import { words } from "./lanes.js";
import { span } from "./view.js";

/** What is known of one participant, and what can be done about it. */
export class Details {
	#panel;
	#dialog;
	#lane = null;

	constructor(panel, dialog, onClose) {
		this.#panel = panel;
		this.#dialog = dialog;
		panel.querySelector("#close").addEventListener("click", onClose);
		panel.querySelector("#extend").addEventListener("click", () => this.#act({ action: "extend", by_ms: 60_000 }));
		const notice = panel.querySelector("#notice"), text = notice.querySelector("input");
		notice.addEventListener("submit", async (event) => {
			event.preventDefault();
			if (await this.#act({ action: "notify", text: text.value })) text.value = "";
		});
		panel.querySelector("#end").addEventListener("click", () => {
			dialog.querySelector("strong").textContent = this.#lane.participant;
			dialog.returnValue = "";
			dialog.showModal();
		});
		dialog.addEventListener("close", () => dialog.returnValue === "yes" && this.#act({ action: "end" }));
	}

	async #act(what) {
		const participant = this.#lane.participant;
		let answer;
		try {
			const response = await fetch("/admin/act", {
				method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ participant, ...what }),
			});
			answer = await response.json();
		} catch {
			answer = { ok: false, message: "the server does not answer" };
		}
		const done = { extend: `held for ${span(answer.left_ms)} from now`, notify: "sent", end: "ended" }[what.action];
		this.#panel.querySelector("#outcome").textContent = answer.ok ? done : answer.message;
		return answer.ok;
	}

	show(lane, now) {
		const panel = this.#panel;
		panel.hidden = !lane;
		if (!lane) {
			this.#lane = null;
			return;
		}
		if (lane.participant !== this.#lane?.participant) panel.querySelector("#outcome").textContent = "";
		this.#lane = lane;
		panel.querySelector("h2").textContent = lane.participant;
		const left = lane.deadline ? `, ${span(lane.deadline - now)} left` : "";
		panel.querySelector(".state").textContent = `${lane.presence || "not known"} for ${span(now - lane.since)}${left}`;
		const ms = (n) => (n ? `${n.toFixed(1)} ms` : "–");
		fill(panel.querySelector("dl"), [
			["Why", words(lane.reason)],
			["Phase", lane.phase && `${lane.phase}${lane.expected_ms ? `, ${span(lane.expected_ms)} expected` : ""}`],
			["Group", lane.group], ["Experiment", lane.experiment], ["Scene", lane.scene], ["Condition", lane.condition], ["Outcome", words(lane.outcome)],
			["Waits for", lane.waiting && `a group of ${lane.waiting}`],
			["Connection", `${lane.connected ? "open" : "none"}, the ${lane.epoch}.`],
			["Browser", ms(lane.pong_ms)], ["Page", ms(lane.ping_ms)],
			["Away", `${lane.drops ?? 0} times`], ["Blocked", `${lane.blocks ?? 0} times`],
			["Refused", lane.refused && `${lane.refused} events`],
		]);
		panel.querySelector("#loads").replaceChildren(...lane.loads.slice(-5).reverse().map((load) => {
			const item = document.createElement("li");
			const took = span((load.end || now) - load.start);
			item.textContent = `${load.phase || load.id}: ${took}${load.end ? `, ${load.result}` : `, lease ends in ${span(load.lease - now)}`}`;
			return item;
		}));
		const gone = lane.presence === "gone" || !lane.presence;
		panel.querySelector("#extend").disabled = gone || !(lane.presence === "loading" || lane.presence === "away");
		panel.querySelector("#end").disabled = gone;
		for (const e of panel.querySelectorAll("#notice *")) e.disabled = gone;
	}
}

function fill(list, entries) {
	list.replaceChildren(...entries.filter(([, value]) => value).flatMap(([name, value]) => {
		const dt = document.createElement("dt"), dd = document.createElement("dd");
		dt.textContent = name;
		dd.textContent = value;
		return [dt, dd];
	}));
}
