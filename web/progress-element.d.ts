// Types of progress-element.js.

import type { LoadProgress, Session } from "./loader.js";

/** Every text of the element. In a string {name} is replaced; a function is given the values. */
export interface Strings {
	connecting: Text;
	announced: Text;
	/** {percent}, empty where it is not known. */
	downloading: Text;
	starting: Text;
	/** {package}, {done}, {count}. */
	packages: Text;
	init: Text;
	ready: Text;
	/** {message}, {code}. */
	failed: Text;
	/** That the page may freeze. */
	warning: Text;
	/** On the button. */
	retry: Text;
	/** While the connection is interrupted. */
	offline: Text;
	/** What the bar is called by screen readers. */
	progress: Text;
	/** {participant}; so are the next four. */
	partner_active: Text;
	partner_loading: Text;
	partner_blocked: Text;
	partner_away: Text;
	partner_gone: Text;
}

export type Text = string | ((values: Record<string, string | number>) => string);

/** The texts that are used where a page has none of its own. */
export const strings: Strings;

/**
 * `<initgrace-progress>`. The attribute `phase` says where it stands, for a
 * page's own CSS; with the attribute `without-partner` it is silent about the
 * partner.
 *
 * Custom properties: --initgrace-accent, -accent-ink, -track, -ink, -bad, -font,
 * -height, -radius. Parts: now, spinner, label, bar, warning, offline, partner,
 * failure, retry.
 */
export class InitgraceProgress extends HTMLElement {
	/** Whose loads and partners are shown. */
	session: Session | undefined;
	/** Own texts, some or all. */
	strings: Partial<Strings>;
	readonly phase: "connecting" | LoadProgress["phase"];
	/** Shows something else than a session tells, such as a failed connect. */
	show(progress: Partial<LoadProgress> & { phase: InitgraceProgress["phase"] }): void;
	/**
	 * Does something that may fail, again whenever the participant presses the
	 * button, until it succeeds. An AbortError and the end of the session end it.
	 */
	attempt<T>(task: () => T | Promise<T>): Promise<T>;
}

declare global {
	interface HTMLElementTagNameMap {
		"initgrace-progress": InitgraceProgress;
	}
	interface HTMLElementEventMap {
		/** The participant pressed the button of <initgrace-progress>. */
		retry: Event;
	}
}
