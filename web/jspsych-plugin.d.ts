// Types of jspsych-plugin.js. They name jsPsych's own types nowhere, so that they
// hold with and without its package.

import type { ConnectOptions, PyodideOptions, Session } from "./loader.js";

/** What a trial of this type takes beside `type`. */
export interface InitgracePyodideTrial {
	/** A session, or a promise of one. Without it the trial takes that of an earlier one, or connects. */
	session?: Session | Promise<Session> | null;
	/** Options of connect(). */
	connect?: ConnectOptions | null;
	packages?: string[];
	/** Called with Pyodide, still under the lease. */
	init?: ((pyodide: any) => unknown) | null;
	/** Further options of session.loadPyodide(). */
	options?: PyodideOptions;
	/** HTML above the progress. */
	stimulus?: string;
	retry_label?: string;
	/** How often the participant may try again. Default 3. */
	retries?: number;
	/** Does Python start without a lease, or without a server? Default true. */
	unprotected?: boolean;
}

/** What the trial puts into its data. Durations are whole milliseconds. */
export interface InitgracePyodideData {
	/** Python is there. */
	ok: boolean;
	/** The server granted a lease before the page could freeze. */
	protected: boolean;
	/** What went wrong last, or why no server protects the load. */
	error_code: string | null;
	error: string | null;
	attempts: number;
	/** To the server's ack. */
	wait_ms: number | null;
	/** The load itself. */
	load_ms: number | null;
	/** How long the page was blocked in all. */
	blocked_ms: number | null;
	/** The longest block in one piece. */
	longest_block_ms: number | null;
	/** The whole trial. */
	rt: number;
}

/** jsPsych calls it; a timeline names it as a trial's `type`. */
export default class InitgracePyodide {
	static info: { name: string; version: string; parameters: any; data: any };
	constructor(jsPsych: any);
	trial(display: HTMLElement, trial: any, onLoad?: () => void): Promise<void>;
	simulate(trial: any, mode: string, options: any, onLoad?: () => void): void;
}
