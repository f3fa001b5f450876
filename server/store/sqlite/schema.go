package sqlite

import "initgrace/server/eventlog"

// applicationID marks our files (PRAGMA application_id): "ingr".
const applicationID = 0x696e6772

// ladder is the schema's history: step i takes a database from user_version i
// to i+1. Steps are only ever appended. SQLite keeps the comments with the
// table (".schema sessions"), so that the file explains itself.
var ladder = []string{`
CREATE TABLE sessions (
	-- One row for each participant, kept for ever.
	-- Times are UTC, ISO 8601 with milliseconds. Columns in _ms are whole milliseconds.
	-- NULL: not known, or nothing yet.
	participant      TEXT NOT NULL PRIMARY KEY, -- the participant's id, as the study's page gave it
	experiment       TEXT,             -- the experiment's name, as the page gave it
	group_id         TEXT,             -- the group in which the participant plays or played last
	page_id          TEXT,             -- the page instance seen last; a refresh makes a new one
	epoch            INTEGER NOT NULL, -- counts the participant's connections
	presence         TEXT NOT NULL,    -- active, loading, blocked, away or gone
	presence_reason  TEXT,             -- why the presence is what it is
	presence_since   TEXT,             -- time: of the last change of presence
	presence_seq     INTEGER NOT NULL, -- counts the changes of presence
	open_loads       TEXT,             -- JSON array: loads under way, each with id, phase, expected_ms, anonymous (no id was given), started_at, deadline_at
	scene_id         TEXT,             -- the scene saved last by the page
	stager_state     TEXT,             -- JSON: the position in the study, as the page saved it
	globals          TEXT,             -- JSON: the study's own values, as the page saved them
	state_version    INTEGER NOT NULL, -- counts the saves of scene_id, stager_state and globals
	messages_sent    INTEGER NOT NULL, -- messages to the group
	connections      INTEGER NOT NULL, -- connections made, reconnects included
	drops            INTEGER NOT NULL, -- times away
	loads            INTEGER NOT NULL, -- loads that were granted a lease
	load_failures    INTEGER NOT NULL, -- loads that completed with an error
	load_ms          INTEGER NOT NULL, -- time spent loading
	blocked_ms       INTEGER NOT NULL, -- time spent blocked: page frozen without a declared load
	away_ms          INTEGER NOT NULL, -- time spent away
	longest_block_ms INTEGER NOT NULL, -- longest freeze that the page itself measured
	created_at       TEXT,             -- time: first connection
	updated_at       TEXT              -- time: last change of this row
);
CREATE TABLE meta (
	-- Facts about this file.
	key   TEXT NOT NULL PRIMARY KEY, -- about, or secret
	value BLOB NOT NULL              -- secret: signs the participants' tokens; delete the row before publishing the file
);
INSERT INTO meta VALUES ('about', 'Sessions of an initgrace server. Every column is explained in the schema: SELECT sql FROM sqlite_master.');
`,
	eventlog.CreateTable(1) + `UPDATE meta SET value = 'Sessions and event log of an initgrace server. Every column is explained in the schema: SELECT sql FROM sqlite_master.' WHERE key = 'about';`,
	`
CREATE TABLE mailboxes (
	-- One row for each participant who sent or was sent a message: how far messages have come.
	participant TEXT NOT NULL PRIMARY KEY, -- as in sessions
	posted      INTEGER NOT NULL, -- messages to the participant, who counts them from 1; those in messages may be later
	received    INTEGER NOT NULL, -- those up to this number are read, or given up
	sent        INTEGER NOT NULL, -- messages from the participant
	pages       TEXT              -- JSON array: page instances that sent messages, each with page and sent, the id of its last one
) WITHOUT ROWID;
CREATE TABLE messages (
	-- Messages that were sent and are not known to be received. The event log counts all of them.
	receiver TEXT NOT NULL,    -- the participant to whom it goes
	seq      INTEGER NOT NULL, -- counts the messages to the receiver
	sender   TEXT NOT NULL,    -- the participant who sent it
	latest   TEXT,             -- a later message of the same sender with the same key here replaces this one
	data     TEXT NOT NULL,    -- JSON: what was sent
	PRIMARY KEY (receiver, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_latest ON messages (receiver, sender, latest) WHERE latest IS NOT NULL;
UPDATE meta SET value = 'Sessions, messages on their way and event log of an initgrace server. Every column is explained in the schema: SELECT sql FROM sqlite_master.' WHERE key = 'about';
`,
	`
ALTER TABLE sessions ADD COLUMN condition /* the experimental condition, drawn once */ TEXT;
ALTER TABLE sessions ADD COLUMN scenes /* JSON array: the scenes in the order that was drawn */ TEXT;
ALTER TABLE sessions ADD COLUMN waiting /* JSON: the place in the wait room; size (of the group wanted), turn (the lower, the sooner), since, until */ TEXT;
ALTER TABLE sessions ADD COLUMN vacancy /* JSON: what the group waits for, since a member is gone; action, size, partner (who left), until */ TEXT;
ALTER TABLE sessions ADD COLUMN outcome /* how the study ended: completed, partner_gone or wait_timeout */ TEXT;
ALTER TABLE sessions ADD COLUMN outcome_code /* the payment code that was given */ TEXT;
ALTER TABLE sessions ADD COLUMN outcome_link /* the payment link that was given */ TEXT;
ALTER TABLE sessions ADD COLUMN outcome_partner /* whose leaving it was due to */ TEXT;
ALTER TABLE sessions ADD COLUMN outcome_at /* time: of the outcome */ TEXT;
`,
	`ALTER TABLE mailboxes ADD COLUMN barriers /* JSON array: barriers of its group that the participant has reached, each with group, name and open (all have) */ TEXT;`,
}

const selectAssigned = `SELECT coalesce(experiment, ''), condition, count(*) FROM sessions WHERE condition IS NOT NULL GROUP BY 1, 2`

// Messages on their way.
const (
	putMessage = `INSERT OR REPLACE INTO messages (receiver, seq, sender, latest, data) VALUES (?,?,?,?,?)`
	putMailbox = `INSERT INTO mailboxes (participant, posted, received, sent, pages, barriers) VALUES (?,?,?,?,?,?)
	ON CONFLICT (participant) DO UPDATE SET posted=excluded.posted, received=excluded.received, sent=excluded.sent, pages=excluded.pages, barriers=excluded.barriers`
	trimMessages = `DELETE FROM messages WHERE receiver = ? AND seq <= ?`
	// One statement reads one snapshot: a mailbox and what is in it.
	selectMailbox = `SELECT b.posted, b.received, b.sent, b.pages, b.barriers, m.seq, m.sender, m.latest, m.data
	FROM mailboxes b LEFT JOIN messages m ON m.receiver = b.participant AND m.seq > b.received
	WHERE b.participant = ? ORDER BY m.seq`
)

const upsert = `INSERT INTO sessions (` + columns + `)
VALUES (?,?,?,?,?, ?,?,?,?, ?,?,?,?,?, ?,?,?,?,?, ?,?,?,?, ?,?,?,?, ?,?,?,?,?, ?,?)
ON CONFLICT (participant) DO UPDATE SET
	experiment=excluded.experiment, group_id=excluded.group_id, page_id=excluded.page_id, epoch=excluded.epoch,
	presence=excluded.presence, presence_reason=excluded.presence_reason,
	presence_since=excluded.presence_since, presence_seq=excluded.presence_seq,
	open_loads=excluded.open_loads, scene_id=excluded.scene_id, stager_state=excluded.stager_state,
	globals=excluded.globals, state_version=excluded.state_version,
	messages_sent=excluded.messages_sent, connections=excluded.connections, drops=excluded.drops,
	loads=excluded.loads, load_failures=excluded.load_failures,
	load_ms=excluded.load_ms, blocked_ms=excluded.blocked_ms, away_ms=excluded.away_ms,
	longest_block_ms=excluded.longest_block_ms,
	condition=excluded.condition, scenes=excluded.scenes, waiting=excluded.waiting, vacancy=excluded.vacancy,
	outcome=excluded.outcome, outcome_code=excluded.outcome_code, outcome_link=excluded.outcome_link,
	outcome_partner=excluded.outcome_partner, outcome_at=excluded.outcome_at,
	created_at=excluded.created_at, updated_at=excluded.updated_at`

// columns are those of encode and decode, in their order.
const columns = `participant, experiment, group_id, page_id, epoch,
	presence, presence_reason, presence_since, presence_seq,
	open_loads, scene_id, stager_state, globals, state_version,
	messages_sent, connections, drops, loads, load_failures,
	load_ms, blocked_ms, away_ms, longest_block_ms,
	condition, scenes, waiting, vacancy,
	outcome, outcome_code, outcome_link, outcome_partner, outcome_at,
	created_at, updated_at`
