// <initgrace-progress>: how far a load is, for the participant's eyes.
//
//	import "/initgrace/progress-element.js";
//	const progress = document.querySelector("initgrace-progress");
//	progress.session = session;
//	const python = await progress.attempt(() => session.loadPyodide());
//
// While the page is frozen nothing in it can be redrawn. What moves here is
// moved by CSS animations of transform and opacity, which the browser's
// compositor goes on with; they are begun before the freeze.
//
// progress-element.d.ts documents everything that a page can use.

export const strings = {
	connecting: "Connecting…",
	announced: "Keeping your seat…",
	downloading: "Downloading {percent}",
	starting: "Starting Python",
	packages: "Installing {package} {done}/{count}",
	init: "Preparing the study",
	ready: "Ready",
	failed: "This did not work: {message}",
	warning: "The page may not react for a while. That is expected: please leave it open.",
	retry: "Try again",
	offline: "The connection is interrupted. Trying again…",
	progress: "Progress",
	partner_active: "Your partner is here",
	partner_loading: "Your partner is starting Python",
	partner_blocked: "Your partner's page is busy",
	partner_away: "Your partner is cut off. Their seat is kept.",
	partner_gone: "Your partner has left",
};

const ENDED = ["closed", "replaced", "expired", "disconnected"]; // codes of a session's end
const BUSY = ["announced", "downloading", "starting", "packages", "init"];

const css = `
:host {
	display: block;
	font: var(--initgrace-font, inherit);
	color: var(--initgrace-ink, inherit);
	--accent: var(--initgrace-accent, #2563eb);
	--track: var(--initgrace-track, color-mix(in srgb, currentColor 16%, transparent));
	--bad: var(--initgrace-bad, #c2261c);
}
:host([hidden]), [hidden] { display: none !important; }
p { margin: 0; }
.now { display: flex; align-items: center; gap: 0.7em; font-weight: 600; min-height: 1.6em; }
.now:focus { outline: none; }
.spinner {
	flex: none;
	box-sizing: border-box;
	width: 1.4em;
	height: 1.4em;
	border: 0.2em solid var(--track);
	border-top-color: var(--accent);
	border-radius: 50%;
	will-change: transform, opacity;
	animation: turn 1s linear infinite;
}
.bar {
	height: var(--initgrace-height, 0.5em);
	margin-block: 0.8em;
	border-radius: var(--initgrace-radius, 1em);
	background: var(--track);
	overflow: hidden;
}
.bar i {
	display: block;
	height: 100%;
	border-radius: inherit;
	background: var(--accent);
	transform-origin: left;
	will-change: transform;
}
.bar .part { transition: transform 0.2s linear; }
.bar .filling { animation: fill 10s cubic-bezier(0.15, 0.6, 0.4, 1) both; }
.bar .wandering { animation: wander 1.4s ease-in-out infinite alternate; }
.soft { font-size: 0.875em; opacity: 0.75; }
.partner { display: flex; align-items: baseline; gap: 0.5em; margin-top: 0.6em; }
.dot { flex: none; width: 0.65em; height: 0.65em; border-radius: 50%; background: var(--accent); }
[data-state="loading"] .dot { animation: breathe 0.8s ease-in-out infinite alternate; }
[data-state="away"] .dot, [data-state="gone"] .dot { background: var(--bad); }
.failure { margin-top: 0.2em; color: var(--bad); font-weight: 600; overflow-wrap: anywhere; }
button {
	margin-top: 0.8em;
	padding: 0.5em 1.2em;
	border: 0;
	border-radius: 0.5em;
	background: var(--accent);
	color: var(--initgrace-accent-ink, #fff);
	font: inherit;
	font-weight: 600;
	cursor: pointer;
}
button:focus-visible { outline: 3px solid color-mix(in srgb, var(--accent) 45%, transparent); outline-offset: 2px; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes fill { from { transform: translateX(-100%); } to { transform: translateX(-4%); } }
@keyframes wander { from { transform: translateX(-20%) scaleX(0.2); } to { transform: translateX(85%) scaleX(0.2); } }
@keyframes breathe { from { opacity: 0.35; } to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) {
	.spinner { animation: breathe 2s ease-in-out infinite alternate; }
	.bar .wandering { transform: none; animation: breathe 2s ease-in-out infinite alternate; }
	.bar .part { transition: none; }
}
@media (forced-colors: active) {
	.bar { border: 1px solid; }
	.bar i, .dot { forced-color-adjust: none; background: CanvasText; }
}`;

const html = `
<div part="now" class="now" tabindex="-1"><span class="spinner" part="spinner" aria-hidden="true"></span><span part="label" class="label"></span></div>
<div part="bar" class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100"><i></i></div>
<p part="warning" class="warning soft"></p>
<p part="offline" class="offline soft" hidden></p>
<p part="partner" class="partner soft" hidden><i class="dot" aria-hidden="true"></i><span class="who"></span></p>
<p part="failure" class="failure" role="alert"></p>
<button part="retry" class="retry" type="button" hidden></button>
<div class="spoken" role="status" aria-live="polite"></div>`;

let sheet; // one for all; not inline, which a strict policy forbids

/** painted resolves when what was changed before is on the screen. A hidden page paints nothing: it is not waited for. */
const painted = () =>
	new Promise((resolve) => {
		requestAnimationFrame(() => requestAnimationFrame(resolve));
		setTimeout(resolve, 100);
	});

export class InitgraceProgress extends HTMLElement {
	#texts = { ...strings };
	#now = { phase: "connecting" };
	#partner;
	#offline = false;
	#session;
	#end; // why that has ended
	#giveUp; // ends an attempt that waits for the button
	#removers = [];

	constructor() {
		super();
		const root = this.attachShadow({ mode: "open" });
		if (!sheet) {
			sheet = new CSSStyleSheet();
			sheet.replaceSync(css);
		}
		root.adoptedStyleSheets = [sheet];
		root.innerHTML = html;
		this.#part(".retry").addEventListener("click", () => this.dispatchEvent(new Event("retry", { bubbles: true, composed: true })));
	}

	connectedCallback() {
		this.#draw();
	}

	get strings() {
		return this.#texts;
	}

	set strings(texts) {
		this.#texts = { ...strings, ...texts };
		this.#draw();
	}

	get phase() {
		return this.#now.phase;
	}

	get session() {
		return this.#session;
	}

	set session(session) {
		for (const remove of this.#removers.splice(0)) remove();
		this.#session = session;
		this.#offline = false;
		this.#end = undefined;
		this.#draw();
		if (!session) return;
		const offline = (is) => () => {
			this.#offline = is;
			this.#draw();
		};
		this.#removers = [
			session.on("progress", (progress) => this.show(progress)),
			session.on("partner_state", (state) => {
				if (this.#partner && this.#partner.participant === state.participant && state.seq < this.#partner.seq) return;
				this.#partner = state;
				this.#draw();
			}),
			session.on("reconnecting", offline(true)),
			session.on("restored", offline(false)),
			session.on("close", ({ code, message }) => {
				if (code !== "closed") this.show({ phase: "failed", code, message, final: true }); // else the page is done with it
				this.#end = Object.assign(new Error(message), { name: "InitgraceError", code });
				this.#giveUp?.(this.#end);
			}),
		];
	}

	show(progress) {
		this.#now = { ...progress };
		this.#draw();
	}

	async attempt(task) {
		for (;;) {
			if (this.phase === "failed" || this.phase === "ready") this.show({ phase: "connecting" });
			await painted();
			try {
				return await task();
			} catch (err) {
				if (err?.name === "AbortError") {
					this.show({ phase: "connecting" }); // whoever gave it up goes on
					throw err;
				}
				const final = ENDED.includes(err?.code) || (this.#end && err?.code === this.#end.code); // another try would end the same
				this.show({ phase: "failed", code: err?.code, message: String(err?.message ?? err), final });
				if (final) throw err;
				await this.#pressed();
			}
		}
	}

	#pressed() {
		let pressed;
		return new Promise((resolve, reject) => {
			this.#giveUp = reject;
			this.addEventListener("retry", (pressed = resolve), { once: true });
		}).finally(() => {
			this.#giveUp = undefined;
			this.removeEventListener("retry", pressed);
		});
	}

	#part(selector) {
		return this.shadowRoot.querySelector(selector);
	}

	#text(name, values = {}) {
		const text = this.#texts[name] ?? "";
		if (typeof text === "function") return String(text(values));
		return text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "").replace(/\s+/g, " ").trim();
	}

	#draw() {
		if (!this.isConnected) return;
		const { phase, fraction, message = "", code = "", package: name = "", done, count, final } = this.#now;
		const busy = BUSY.includes(phase);
		const failed = phase === "failed";
		const values = {
			message, code, package: name,
			percent: fraction === undefined ? "" : `${Math.floor(100 * fraction)} %`,
			done: done ?? "", count: count ?? "",
		};
		// A name without numbers, or numbers without a name, read badly.
		const label = phase === "packages" && count === undefined ? this.#text(phase, { ...values }).replace(/\/$/, "").trim() : this.#text(phase, values);
		if (this.getAttribute("phase") !== phase) {
			this.setAttribute("phase", phase);
			// Not every per cent is read out, only what is new.
			this.#part(".spoken").textContent = failed ? "" : this.#text(phase, { ...values, percent: "", done: "", count: "" }).replace(/\/$/, "").trim() +
				(busy && phase === "announced" ? ` ${this.#text("warning")}` : "");
		}
		set(this.#part(".label"), failed ? "" : label);
		this.#part(".now").hidden = failed;
		this.#part(".spinner").hidden = phase === "ready";
		set(this.#part(".warning"), busy ? this.#text("warning") : "");
		set(this.#part(".offline"), this.#text("offline"));
		this.#part(".offline").hidden = !this.#offline || failed;
		set(this.#part(".failure"), failed ? this.#text("failed", values) : "");
		set(this.#part(".retry"), this.#text("retry"));
		const retry = this.#part(".retry");
		const left = this.shadowRoot.activeElement === retry;
		retry.hidden = !failed || final === true;
		if (left && retry.hidden) this.#part(".now").focus(); // and not the page's beginning
		this.#bar(failed);
		this.#drawPartner();
	}

	#bar(failed) {
		const { phase, fraction, elapsedMs = 0, expectedMs = 0 } = this.#now;
		const bar = this.#part(".bar");
		const i = bar.firstElementChild;
		bar.hidden = failed;
		bar.setAttribute("aria-label", this.#text("progress"));
		const known = phase === "downloading" || phase === "packages" ? fraction : phase === "ready" ? 1 : undefined;
		if (known === undefined) bar.removeAttribute("aria-valuenow");
		else bar.setAttribute("aria-valuenow", Math.round(100 * known));
		const kind = known !== undefined ? "part" : expectedMs > 0 && BUSY.includes(phase) ? "filling" : "wandering";
		if (kind === "part") i.style.transform = `scaleX(${known})`;
		else i.style.removeProperty("transform");
		// An animation that runs is left alone: a new one might not begin before the freeze.
		if (i.className === kind) return;
		i.style.animationDuration = kind === "filling" ? `${1.5 * expectedMs}ms` : "";
		i.style.animationDelay = kind === "filling" ? `${-elapsedMs}ms` : "";
		i.className = kind;
	}

	#drawPartner() {
		const line = this.#part(".partner");
		const state = this.#partner?.state;
		line.hidden = !state || this.hasAttribute("without-partner");
		line.dataset.state = state ?? "";
		set(line.querySelector(".who"), state ? this.#text(`partner_${state}`, { participant: this.#partner.participant }) : "");
	}
}

// set does not touch what stays the same: a screen reader would read it again.
function set(element, text) {
	if (element.textContent !== text) element.textContent = text;
	if (element.tagName === "P") element.hidden = text === "";
}

if (!customElements.get("initgrace-progress")) customElements.define("initgrace-progress", InitgraceProgress);
