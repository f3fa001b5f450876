// Types of loader.js. Durations are in milliseconds in names that end in Ms (of
// options) or _ms (of what the server sends); instants are never absolute, so
// that nobody's clock matters.

/** The version of this script. loader.wasm must be of the same. */
export const version: string;

/**
 * Starts, or goes on with, a participant's session.
 *
 * The first call downloads and starts loader.wasm; after a failure the next call
 * tries again. Connecting is repeated until it succeeds, the server refuses for
 * good, or timeoutMs has passed. From then on the session reconnects by itself.
 *
 * Rejects with an {@link InitgraceError}, or with the signal's reason.
 *
 * ```js
 * import { connect } from "/initgrace/loader.js";
 * const session = await connect({ participant: "p1" });
 * const pyodide = await session.loadPyodide();
 * ```
 */
export function connect(options: ConnectOptions): Promise<Session>;

/**
 * Pyodide without a session, for a page that could not connect and shall go on all
 * the same: no server holds the participant's seat, and partners are told nothing.
 * It is what session.loadPyodide() starts, and only one of them on a page: whoever
 * connects later and loads finds this one.
 *
 * ```js
 * const session = await connect({ participant: "p1" }).catch((err) => console.warn(err.code));
 * const pyodide = await (session ? session.loadPyodide() : loadUnprotected());
 * ```
 */
export function loadUnprotected(options?: UnprotectedOptions): Promise<any>;

/** Without a lease what a lease is granted for has no effect. */
export interface UnprotectedOptions extends PyodideOptions {
	/** Address of the server, as of connect. It may have Pyodide's files although no connection is possible. */
	url?: string;
}

export interface ConnectOptions {
	/** Who it is: 1 to 128 characters of A-Z a-z 0-9 . _ : @ - */
	participant: string;
	/** Address of the server. Default: the page's own origin. A path is kept, for servers behind a prefix. */
	url?: string;
	/** Name of the study, for the records. Same characters as participant. */
	experiment?: string;
	/** Participants who name the same group are partners. Without it, {@link Session.join} finds some. */
	group?: string;
	/**
	 * The right to an earlier session. Default: the one that this browser was
	 * given last (localStorage), so that a refresh or another tab finds its
	 * session again, also where the study file says `require_token`.
	 */
	token?: string;
	/** Name of this page instance. Default: one per document. */
	pageId?: string;

	/**
	 * Listeners from the first event on. Listeners that are added with
	 * {@link Session.on} in the same task in which connect resolves miss nothing
	 * either.
	 */
	on?: { [E in keyof SessionEvents]?: (data: SessionEvents[E]) => void };
	/** Gives up connecting. It has no effect on a session that was opened. */
	signal?: AbortSignal;

	/** How long connect tries, the loader's own download included. Default 30 000. */
	timeoutMs?: number;
	/** How long one attempt may take, from the dialling to the session. Default 10 000. */
	connectTimeoutMs?: number;
	/** How long one call waits for its ack. Default 30 000; each call can say otherwise. */
	callTimeoutMs?: number;
	/**
	 * How long the server may be silent before another connection is made.
	 * Default: three of its ping intervals, and at least 10 000.
	 */
	silenceMs?: number;
	/** Interval of latency measurements. Default 1000; negative: none. */
	latencyMs?: number;
	/** Pause before the first attempt to reconnect; it doubles each time. Default 500. */
	backoffMinMs?: number;
	/** Longest pause between two attempts. Default 5000. */
	backoffMaxMs?: number;
	/** How many emits may wait for a connection or an ack. Default 256. */
	queueSize?: number;
	/**
	 * Keep messages until saveState has stored a state that knows of them,
	 * instead of until they have arrived: a page that is refreshed and goes on
	 * from the saved state then misses none. The server keeps the last 4,096, at
	 * most 1 MiB. Default false.
	 */
	keep?: boolean;

	/**
	 * Where the loader's Go code and its socket live. "worker": in a worker,
	 * which costs the page no time and whose timers and socket go on while the
	 * page is frozen. "page": on the page's main thread. "auto", the default: a
	 * worker, or the page where there can be none, because the page's policy
	 * forbids it or the loader comes from another origin.
	 */
	host?: "worker" | "page" | "auto";

	/**
	 * The page will load Pyodide: its files are downloaded while the loader
	 * connects, with low priority. Give true, or what loadPyodide will be given
	 * (indexURL, steps and options count). Default false.
	 */
	prefetch?: boolean | PyodideOptions;

	/** Address of loader.wasm. Default: beside this script. */
	wasmURL?: string | URL;
	/** Address of Go's wasm_exec.js. Default: beside this script. */
	wasmExecURL?: string | URL;
}

/**
 * A participant's session. It lives over any number of connections, and ends
 * with the event "close": by close(), because another page took its place
 * ("replaced"), because the seat was given up ("expired"), or by a refusal. Its
 * properties stay readable then; calls reject with the code of that end, but what
 * loadPyodide() and blocking() have begun to do they bring to its own end.
 */
export interface Session {
	readonly participant: string;
	/** The right to this session. Another one after each reconnect. */
	readonly token: string;
	/** Where the loader's Go code runs, see {@link ConnectOptions.host}. */
	readonly host: "worker" | "page";
	/** The server knew the participant already, when this connection began. */
	readonly restored: boolean;
	/** The participant's seat had been given up before this connection. */
	readonly expired: boolean;
	/** Name of the group, if there is one. */
	readonly group: string | undefined;
	/** The others in the group. */
	readonly partners: string[];
	/** What was saved last, by this page or an earlier one. */
	readonly state: State;
	/** Version of state; 0: nothing was saved yet. */
	readonly version: number;
	/** What the server believes about this participant. */
	readonly presence: Presence;
	/** There is a connection now. */
	readonly connected: boolean;
	/** The server's policy, for display. */
	readonly policy: Policy;
	/** Last measured round trip; 0: none yet. */
	readonly latencyMs: number;
	/** Largest recent round trip in the group. */
	readonly maxLatencyMs: number;
	/** Of the study file: the experiment that the participant is in. */
	readonly experiment: string | undefined;
	/** The condition that was drawn for this participant, once. */
	readonly condition: string | undefined;
	/** The scenes in the order that was drawn with it. */
	readonly scenes: string[];
	/** What the study file wants Pyodide to install: for {@link loadPyodide}. */
	readonly packages: string[];
	/** How the study ended for this participant, if it has. */
	readonly outcome: Outcome | undefined;
	/** How the last load went that ended well. */
	readonly lastLoad: LoadResult | undefined;

	/**
	 * Tells the server that the page is about to freeze, waits for its ack, and
	 * only then loads Pyodide, installs the packages and runs init. The end, or
	 * the error, is told as well.
	 *
	 * There is one interpreter on a page: while it is loading and afterwards,
	 * further calls return the same promise, whatever their options. After a
	 * failure the next call tries again.
	 *
	 * Pyodide's own loadPyodide never settles when its WASM cannot be
	 * downloaded, compiled or instantiated. This one rejects: see the codes
	 * load_failed, load_stalled and package_failed.
	 */
	loadPyodide(options?: PyodideOptions & { worker?: false }): Promise<any>;
	/**
	 * The same in a worker of Pyodide's own: the page does not freeze at all, and
	 * Python sees no document.
	 */
	loadPyodide(options: PyodideOptions & { worker: true }): Promise<RemotePyodide>;

	/**
	 * The same ahead of time, during a compatibility check for instance, and
	 * resolves when it is done. A later loadPyodide joins it, whether it is still
	 * under way (then under the same lease) or not: it adds the packages that are
	 * missing, runs its init, and returns the interpreter. Where and how Python
	 * runs has been said here then: worker must be the same, indexURL, steps,
	 * options and loadPyodide do not count any more. If it fails and nobody waits
	 * for it, a later loadPyodide just begins anew.
	 */
	preload(options?: PyodideOptions): Promise<void>;

	/**
	 * Runs a function that will block the page, in the same way. Resolves with
	 * what fn returns, or rejects with what it throws. Name is shown to the
	 * partners.
	 */
	blocking<T>(name: string, fn: () => T | Promise<T>, options?: LeaseOptions): Promise<T>;

	/**
	 * Stores the study's own state and resolves with its new version. Calls take
	 * turns. Code stale_version: another page of this participant has saved
	 * since; state is current again after the next "session".
	 *
	 * With connect's keep it also says that the messages up to number seq, which
	 * the state knows of, need not be kept any longer. Default: all that
	 * listeners have been given.
	 */
	saveState(state: Partial<State>, options?: CallOptions & { seq?: number }): Promise<number>;

	/**
	 * Asks for a place in a group: of the experiment's size, or without a study
	 * file of that size (default 2). "group_ready" says when it is complete,
	 * "waiting" how things stand, "outcome" that the waiting was in vain.
	 */
	join(options?: { size?: number }, call?: CallOptions): Promise<Waiting>;

	/**
	 * Sends a message, any JSON value, to the partners. Each receives it exactly
	 * once, in the order in which they were sent; who is frozen or away receives
	 * it when the page can read again. It resolves when the server has stored the
	 * message, and until then sends it again after every reconnect, for
	 * timeoutMs (default 120 000).
	 */
	send(data: unknown, options?: SendOptions): Promise<Sent>;

	/**
	 * Resolves when every member of the group has called it with the same name
	 * (1 to 64 characters of A-Z a-z 0-9 . _ : @ -); whose seat is given up
	 * meanwhile does not count. What was reached stays reached after a refresh.
	 * Codes barrier_timeout (default after 600 000 ms), not_in_group.
	 */
	barrier(name: string, options?: { timeoutMs?: number }): Promise<{ ok: true; name: string; members: string[] }>;

	/** Says that the study is finished, and resolves with how to be paid. */
	finish(options?: CallOptions): Promise<Outcome>;

	/** Answers "ask" with one of its choices. */
	answer(choice: string, options?: CallOptions): Promise<{ ok: true }>;

	/** Sends any event and resolves with the payload of its ack. */
	emit(event: string, payload?: unknown, options?: CallOptions): Promise<any>;

	/**
	 * Adds a listener and returns its remover. Listeners are called one at a
	 * time, in the order in which the server sent the events. What one throws is
	 * reported as uncaught, and stops nothing.
	 */
	on<E extends keyof SessionEvents>(event: E, fn: (data: SessionEvents[E]) => void): () => void;
	on(event: string, fn: (data: any) => void): () => void;

	/** Says goodbye to the server, which will not wait for the participant to come back. */
	close(): Promise<void>;
}

export interface CallOptions {
	/** How long to wait for the ack, connections lost meanwhile included. */
	timeoutMs?: number;
}

export interface SendOptions extends CallOptions {
	/**
	 * A key of at most 64 bytes. The message takes the place of an earlier one
	 * with the same key that a partner has not read yet.
	 */
	latest?: string;
	/**
	 * It may be lost: it is not stored, not sent again, and not kept for a
	 * partner whose page cannot read it now. Resolves at once.
	 */
	volatile?: boolean;
	/** Refuse the message (not_in_group) unless the participant is in that group. */
	group?: string;
}

export interface Sent {
	ok: true;
	/** Counts this participant's messages. Missing if volatile or repeated. */
	seq?: number;
	/** The server had it already: the ack was lost. */
	repeated?: boolean;
	/** Partners for whom so much waits already that they will not get it. */
	dropped?: string[];
}

export interface LeaseOptions {
	/**
	 * How long it will probably take. An estimate: the lease is longer than that
	 * in any case. Default: the server's.
	 */
	expectedMs?: number;
	/**
	 * May it run if the server refuses a lease or does not answer? Default true:
	 * lastLoad then says so. False: the call rejects instead.
	 */
	unprotected?: boolean;
	/** How long to wait for the server's ack before running unprotected. Default 5000. */
	ackTimeoutMs?: number;
}

export interface PyodideOptions extends LeaseOptions {
	/**
	 * A first guess. Once this browser has loaded the same packages on this page,
	 * what that took counts (localStorage).
	 */
	expectedMs?: number;
	/**
	 * Folder of Pyodide: pyodide.mjs is imported from there. Default: the server's
	 * own (config.json), which alone is started in steps.
	 */
	indexURL?: string;
	/**
	 * Start in steps, with a standard library that was compiled beforehand, where
	 * the server has one for its Pyodide. The interpreter is the same, the page
	 * freezes for a shorter time, and lives on between the steps. What goes wrong
	 * with it makes a plain start. Default true.
	 */
	steps?: boolean;
	/**
	 * Run Pyodide in a worker of its own, which must be allowed to load modules
	 * from this server. Options have to be plain data then. Default false.
	 */
	worker?: boolean;
	/** Gives the load up; it then rejects with the signal's reason, as soon as the page is not blocked. */
	signal?: AbortSignal;
	/** Packages to install, by name or wheel address. One that could not be loaded is an error. */
	packages?: string | string[];
	/** Called with Pyodide when the packages are there, still under the lease. */
	init?: (pyodide: any) => unknown;
	/** Further options of Pyodide's loadPyodide. */
	options?: object;
	/** Takes the place of Pyodide's loadPyodide. */
	loadPyodide?: (options: object) => Promise<any>;
	/** Shown to partners while Pyodide starts. At most 64 bytes. Default "downloading", then "starting". */
	phase?: string;
	/** The same while packages are installed. Default "packages". */
	packagesPhase?: string;
	/** The same while init runs. Default "init". */
	initPhase?: string;
	/** Told what the event "progress" tells. */
	onProgress?: (progress: LoadProgress) => void;
	/**
	 * How long nothing may arrive before the load is given up; time in which the
	 * page is blocked does not count. Default 30 000.
	 */
	stallMs?: number;
}

/**
 * Pyodide in a worker: everything that Pyodide has, and each answer is a promise.
 * Python objects cannot cross; dictionaries, lists and the like arrive as copies,
 * functions as ones that can be called and return promises.
 *
 * ```js
 * const python = await session.loadPyodide({ worker: true });
 * await python.runPython("def step(action): return {'score': action + 1}");
 * const step = await python.globals.get("step");
 * const { score } = await step(3);
 * ```
 */
export interface RemotePyodide {
	runPython(code: string, options?: object): Promise<any>;
	runPythonAsync(code: string, options?: object): Promise<any>;
	/** A package that could not be loaded is no error here, as in Pyodide: name it in the options of loadPyodide. */
	loadPackage(names: string | string[], options?: object): Promise<any>;
	readonly globals: {
		get(name: string): Promise<any>;
		set(name: string, value: unknown): Promise<void>;
		delete(name: string): Promise<void>;
	};
	readonly FS: {
		writeFile(path: string, data: string | ArrayBufferView, options?: object): Promise<void>;
		readFile(path: string, options?: object): Promise<any>;
		mkdirTree(path: string): Promise<void>;
		unlink(path: string): Promise<void>;
	};
	readonly version: Promise<string>;
	/**
	 * Ends the worker. Calls that are under way, and later ones, reject with the
	 * code closed; with worker_failed if the worker ended by itself, out of memory
	 * for instance, which is noticed on HTTPS and localhost. The next loadPyodide
	 * starts another.
	 */
	terminate(): void;
	/** Whatever else Pyodide has. */
	readonly [name: string]: any;
}

/** How far loadPyodide is. The page may freeze in every phase but the first two. */
export interface LoadProgress {
	/**
	 * - announced: the server is asked for a lease
	 * - downloading: bytes of Pyodide itself arrive
	 * - starting: Python starts
	 * - packages: they are downloaded and installed
	 * - init: the page's own init runs
	 * - ready, failed: it is over
	 */
	phase: "announced" | "downloading" | "starting" | "packages" | "init" | "ready" | "failed";
	/** Part of the phase that is done, 0 to 1, if that is known. */
	fraction?: number;
	/** Arrived so far, uncompressed. */
	bytes?: number;
	/** Of how many, if that is known. */
	total?: number;
	/** The file that they belong to. */
	url?: string;
	/** The package that has arrived last. */
	package?: string;
	/** Packages that have arrived. */
	done?: number;
	/** Of how many. */
	count?: number;
	/** Why it failed. */
	code?: Code;
	message?: string;
	/** Since the server's ack. */
	elapsedMs: number;
	/** What it will probably take in all, if that is known. */
	expectedMs?: number;
}

/** How a load went. */
export interface LoadResult {
	/** Its id on the wire. */
	id: string;
	/** The server granted a lease before it began. */
	protected: boolean;
	/** Why not. */
	unprotected?: { ok: false; code: Code; message: string };
	/** What was granted at the start. */
	leaseMs: number;
	/** How far phases may extend it. */
	capMs: number;
	/** From the request to the ack. */
	waitMs: number;
	/** The load itself. */
	tookMs: number;
	/** How long the page was blocked in all. */
	blockedMs: number;
	/** The longest block in one piece. */
	longestBlockMs: number;
}

/** What a study keeps in its session; stager_state and globals are any JSON. */
export interface State {
	scene_id: string;
	stager_state: any;
	globals: any;
}

/**
 * - active: the page runs
 * - loading: a declared load is under way; the page may be frozen
 * - blocked: the page is silent without a declaration, the browser answers
 * - away: nothing answers; the seat is held
 * - gone: the seat was given up
 */
export type Presence = "active" | "loading" | "blocked" | "away" | "gone";

export interface Policy {
	/** No sign of life of any kind for so long: away. */
	silence_ms: number;
	/** An undeclared block of so long: gone. */
	blocked_ms: number;
	/** The usual lease. */
	load_ms: number;
	/** The longest lease with all extensions. */
	load_cap_ms: number;
	/** The seat is held for so long after the network was lost. */
	reconnect_ms: number;
	/** The seat is held for so long after the page was left. */
	leave_ms: number;
}

export interface Waiting {
	ok: true;
	/** Waiting now, this participant included. */
	present: number;
	/** Needed. */
	size: number;
	/** 1: the next. */
	position: number;
	/** Until enough have come, if they come as lately. Absent while nobody can tell. */
	expected_ms?: number;
	/** Until the waiting is over without a group. Absent: it never is. */
	timeout_ms?: number;
}

/** How the study ended for a participant. It is decided once. */
export interface Outcome {
	ok: true;
	/** finish() was called; a partner's seat was given up; there was no group in time. */
	outcome: "completed" | "partner_gone" | "wait_timeout";
	/** The code to enter, if the study file gives one. */
	code?: string;
	/** The address to return to. */
	link?: string;
	/** Whose seat was given up. */
	partner?: string;
}

/** Presence of a partner, or with "presence" of this participant. */
export interface PartnerState {
	participant: string;
	state: Presence;
	/** Of the open load. */
	phase?: string;
	/** How long it has been in this state. */
	since_ms: number;
	/** How long the load was expected to take. */
	expected_ms?: number;
	/** Until the state ends by itself. */
	deadline_ms?: number;
	/** Why it changed: a code of grace/protocol, such as load_started or silence. */
	reason?: string;
	/** Counts the changes of that participant. */
	seq: number;
}

/** What each event brings. */
export interface SessionEvents {
	/** Every connection begins with it. */
	session: object;
	/** The same, when the server knew the participant already. */
	session_restored: object;
	/** What the server now believes about this participant. */
	presence: PartnerState;
	/** What it believes about a partner. */
	partner_state: PartnerState;
	/** How things stand in the wait room. */
	waiting: Waiting;
	/** The group is complete. Members stand in the same order for everybody. */
	group_ready: { group: string; members: string[]; states: PartnerState[] };
	/**
	 * The group waits for members that are loading, blocked or away: all of them,
	 * and the one that may take longest, until deadline_ms. Again at each change.
	 */
	group_paused: { group: string; participant: string; state: Presence; deadline_ms?: number; since_ms: number; members: PartnerState[] };
	/** All members are active again. */
	group_resumed: { group: string; paused_ms: number };
	/** Who has reached a barrier that this participant has reached, and who has not. */
	barrier_waiting: { name: string; reached: string[]; missing: string[] };
	/** The group is over, because that participant's seat was given up. */
	group_end: { group: string; participant: string; reason: string; requeued?: boolean };
	/** Who the members are now: one has left, or another one has taken the place. Missing places are held open for deadline_ms. */
	group_changed: { group: string; members: string[]; left?: string; joined?: string; missing?: number; deadline_ms?: number };
	/** How shall the group go on? {@link Session.answer} */
	ask: { group: string; participant: string; choices: string[]; default: string; deadline_ms: number };
	/** The study is over for this participant. */
	outcome: Outcome;
	/** Other times apply, in another scene. */
	policy: Policy;
	/** From a partner. Seq counts the messages to this participant; volatile ones have none. */
	message: { from: string; seq?: number; data: any };
	/** Messages to that partner will not arrive: too many wait, or the seat was given up. */
	message_dropped: { to: string; seq?: number; count: number; reason: string };
	/** The answer to a latency measurement. */
	pong: { id: number; max_latency: number; median_ms: number; jitter_ms: number };
	/** The experimenter has something to say to this participant: show it. */
	notice: { text: string };
	/** The server will be back after a while; the session reconnects by itself. */
	server_restarting: { delay_ms: number };
	/** Another page of this participant has taken the place. "close" follows. */
	replaced: object;
	/** The seat was given up. "close" follows. */
	expired: { reason: string };

	/** The connection was lost, or could not be made; another attempt follows after delay_ms. */
	reconnecting: { attempt: number; delay_ms: number; code?: Code; message: string };
	/** It is back, after "session". */
	restored: object;
	/** loadPyodide is further than before. */
	progress: LoadProgress;
	/** A load ended well. */
	load: LoadResult;
	/** The session has ended. The last event of all. */
	close: { ok: false; code: Code; message: string };
}

/** Every error that is not the page's own. */
export interface InitgraceError extends Error {
	name: "InitgraceError";
	code: Code;
}

/** Stable; the message is for people and may change. */
export type Code =
	// The request is wrong; the same again is refused again.
	| "unauthorized" // no participant id, or a malformed one
	| "bad_token" // the token is not this participant's
	| "token_required" // the session is there, and nothing but its token leads to it
	| "unknown_event" // no such event
	| "invalid_payload" // wrong type, missing or out of range
	| "too_large" // over the documented size
	| "unknown_load" // no open load of that id
	| "load_ended" // the load has completed, expired or was abandoned
	| "stale_version" // saveState from an older version
	| "not_in_group" // send or barrier without a group
	| "barrier_timeout" // not every member has reached it in time
	| "in_group" // join while in a group
	| "unknown_experiment" // the study file has no such experiment
	| "too_slow" // join: the connection is slower than the experiment allows
	| "not_asked" // answer without a question, or after the decision
	| "study_over" // join or finish when there is an outcome already
	// The policy's answer; the page may go on, unprotected.
	| "load_budget" // the session's budget of loading is used up
	| "load_limit" // too many loads are open at once
	// The server's trouble; later it may work.
	| "store" // it could not be stored
	| "rate_limit" // too many events
	| "restarting" // the server is shutting down
	| "internal" // a fault of the server's
	| "overloaded" // too many connections
	// Of the experimenter's pages only.
	| "foreign_origin" // asked by a page of another site
	| "unknown_participant" // nobody of that name holds a seat
	| "no_deadline" // nothing runs out that could be extended
	// The end of the session.
	| "closed" // close() was called
	| "replaced" // a newer connection took the place
	| "expired" // the seat was given up
	| "disconnected" // the server told the client to stay away
	// This side's own.
	| "ack_timeout" // no ack in time; the server may have acted all the same
	| "unreachable" // connect: no connection in time
	| "queue_full" // too much waits for a connection
	| "protocol" // the server said what it must not
	| "panic" // a fault in the loader; the session has ended
	| "crashed" // the loader's program has ended; connect starts another
	| "worker_unavailable" // host: "worker" was asked for, and there can be none
	| "wasm_unavailable" // loader.wasm or wasm_exec.js could not be had
	| "version_mismatch" // loader.js and loader.wasm are not of one version
	| "load_failed" // Pyodide could not be started; cause is the browser's error
	| "load_stalled" // nothing has arrived for stallMs
	| "worker_failed" // worker: there can be none, its script could not be loaded, or it has ended
	| "package_failed"; // a package could not be loaded
