// Package protocol is the vocabulary that the server and the browser loader
// share: event names, payloads and codes. PROTOCOL.md explains when each is
// sent. All durations on the wire are whole milliseconds in fields ending in
// _ms; all instants are relative ("since", "deadline") so that clocks need not
// agree.
package protocol

// Version is the version of this vocabulary. It changes when a client of the
// older version could no longer talk to the server.
const Version = 1

// Events that a client emits.
const (
	EventLoadStart    = "pyodide_loading_start"
	EventLoadProgress = "pyodide_loading_progress"
	EventLoadComplete = "pyodide_loading_complete"
	EventStateSave    = "state_save"
	EventJoin         = "join"
	EventSend         = "send"
	EventBarrier      = "barrier"
	EventAnswer       = "answer"
	EventFinish       = "finish"
	EventPing         = "ping"
	EventPageHide     = "pagehide"
	EventPageAlive    = "page_alive"
)

// Events that the server emits.
const (
	EventSession          = "session"
	EventSessionRestored  = "session_restored"
	EventPresence         = "presence"
	EventPartnerState     = "partner_state"
	EventWaiting          = "waiting"
	EventGroupReady       = "group_ready"
	EventGroupEnd         = "group_end"
	EventGroupChanged     = "group_changed"
	EventAsk              = "ask"
	EventOutcome          = "outcome"
	EventPolicy           = "policy"
	EventMessage          = "message"
	EventMessageDropped   = "message_dropped"
	EventBarrierWaiting   = "barrier_waiting"
	EventGroupPaused      = "group_paused"
	EventGroupResumed     = "group_resumed"
	EventPong             = "pong"
	EventReplaced         = "replaced"
	EventExpired          = "expired"
	EventServerRestarting = "server_restarting"
	EventNotice           = "notice"
)

// Presence is what the server believes about a participant.
type Presence string

const (
	// Active: the page's main thread runs.
	Active Presence = "active"
	// Loading: a declared load is under way; the page may be frozen.
	Loading Presence = "loading"
	// Blocked: the page is silent without a declaration, the browser answers.
	Blocked Presence = "blocked"
	// Away: nothing answers; the seat is held.
	Away Presence = "away"
	// Gone: the hold ran out; the seat was given up.
	Gone Presence = "gone"
)

// Outcome is how the study ended for a participant.
type Outcome string

const (
	// Completed: the page said that the study is finished.
	Completed Outcome = "completed"
	// PartnerGone: the seat of a partner was given up, and the group with it.
	PartnerGone Outcome = "partner_gone"
	// WaitTimeout: there was no group in time.
	WaitTimeout Outcome = "wait_timeout"
)

// Hosts: where the loader's Go code runs, as told in Auth.Host.
const (
	// HostPage: on the page's main thread, so that an Engine.IO pong proves
	// that the page runs. Also meant when Auth.Host is empty.
	HostPage = "page"
	// HostWorker: in a dedicated worker, so that an Engine.IO pong proves only
	// that the browser runs; the page's own silence comes in beats.
	HostWorker = "worker"
)

// Auth is the handshake's auth object.
type Auth struct {
	Participant string `json:"participant"`
	SubjectID   string `json:"subject_id,omitempty"` // accepted for Participant
	Experiment  string `json:"experiment,omitempty"`
	Group       string `json:"group,omitempty"`
	Token       string `json:"token,omitempty"`
	PageID      string `json:"page_id,omitempty"`
	Host        string `json:"host,omitempty"`
	// Seq is the number of the last message that this page has read, 0 if
	// none. Absent (a plain client), the server goes by the page's pongs.
	Seq *uint64 `json:"seq,omitempty"`
	// Keep says that a message is received only when a state_save says so: a
	// page that is refreshed gets again what the saved state does not know.
	Keep  bool       `json:"keep,omitempty"`
	Loads []OpenLoad `json:"loads,omitempty"` // loads still open on this page
}

// What a server takes of a page's loads. A client that says no more is not
// refused for it.
const (
	MaxOpenLoads  = 8  // at the same time
	MaxLoadID     = 64 // bytes, as of the next two
	MaxPhase      = 64
	MaxReason     = 500
	MaxExpectedMS = 24 * 60 * 60 * 1000
)

// OpenLoad re-declares, in a reconnect's handshake, a load begun before.
type OpenLoad struct {
	ID         string `json:"id"`
	Phase      string `json:"phase,omitempty"`
	ExpectedMS int64  `json:"expected_ms,omitempty"`
}

// Session is the first event of every connection.
type Session struct {
	Participant string   `json:"participant"`
	Token       string   `json:"token"`
	Epoch       uint64   `json:"epoch"`
	Restored    bool     `json:"restored"`          // known from an earlier connection
	Expired     bool     `json:"expired,omitempty"` // the seat had been given up in between
	State                // what state_save stored last
	Version     uint64   `json:"version"` // of State, for the next state_save
	Group       string   `json:"group,omitempty"`
	Partners    []string `json:"partners,omitempty"`
	Seq         uint64   `json:"seq"`  // messages up to this are received; the next follow
	Sent        uint64   `json:"sent"` // the id of the last message sent by this page
	Policy      Policy   `json:"policy"`

	// Of the study file.
	Experiment string   `json:"experiment,omitempty"`
	Condition  string   `json:"condition,omitempty"` // drawn once
	Scenes     []string `json:"scenes,omitempty"`    // in the order that was drawn with it
	Packages   []string `json:"packages,omitempty"`  // for Pyodide
	Outcome    *Ended   `json:"outcome,omitempty"`   // the study is over for the participant
}

// State is what a study keeps in a session. The values are the study's own.
type State struct {
	SceneID     string `json:"scene_id"`
	StagerState Raw    `json:"stager_state,omitempty"`
	Globals     Raw    `json:"globals,omitempty"`
}

// Policy is the part of the server's policy that a page may want to show.
type Policy struct {
	SilenceMS   int64 `json:"silence_ms"`
	BlockedMS   int64 `json:"blocked_ms"`
	LoadMS      int64 `json:"load_ms"`
	LoadCapMS   int64 `json:"load_cap_ms"`
	ReconnectMS int64 `json:"reconnect_ms"`
	LeaveMS     int64 `json:"leave_ms"`
}

// LoadStart asks for a lease. An empty object is allowed.
type LoadStart struct {
	ID         string `json:"id,omitempty"`
	Phase      string `json:"phase,omitempty"`
	ExpectedMS int64  `json:"expected_ms,omitempty"`
}

// LoadAck grants a lease: until LeaseMS from now silence of the page is
// expected. CapMS is how far progress may extend it, counted from the start.
type LoadAck struct {
	OK       bool   `json:"ok"`
	ID       string `json:"id"`
	LeaseMS  int64  `json:"lease_ms"`
	CapMS    int64  `json:"cap_ms"`
	ServerMS int64  `json:"server_ms"` // time spent in the server, loop and store
}

// LoadProgress is sent between the blocks of one load. ExpectedMS is the
// expected remainder; given, it may extend the lease, up to the cap.
type LoadProgress struct {
	ID         string  `json:"id"`
	Phase      string  `json:"phase,omitempty"`
	Fraction   float64 `json:"fraction,omitempty"`
	ExpectedMS int64   `json:"expected_ms,omitempty"`
}

// LoadComplete ends a load. Without ID it ends the one begun last. Error is
// true when the load failed, Reason says why.
type LoadComplete struct {
	ID             string `json:"id,omitempty"`
	Error          bool   `json:"error,omitempty"`
	Reason         string `json:"reason,omitempty"`
	BlockedMS      int64  `json:"blocked_ms,omitempty"`
	LongestBlockMS int64  `json:"longest_block_ms,omitempty"`
}

// CompleteAck answers LoadComplete.
type CompleteAck struct {
	OK         bool  `json:"ok"`
	DurationMS int64 `json:"duration_ms"`
}

// PartnerState tells one participant about another of the same group.
type PartnerState struct {
	Participant string   `json:"participant"`
	State       Presence `json:"state"`
	Phase       string   `json:"phase,omitempty"`
	SinceMS     int64    `json:"since_ms"`
	ExpectedMS  int64    `json:"expected_ms,omitempty"`
	DeadlineMS  int64    `json:"deadline_ms,omitempty"` // until the state ends by itself
	Reason      Reason   `json:"reason,omitempty"`
	Seq         uint64   `json:"seq"`
}

// StateSave stores State. Version is the version it was made from.
type StateSave struct {
	State
	Version uint64 `json:"version"`
	Seq     uint64 `json:"seq,omitempty"` // the last message that went into the state
}

// StateSaved answers StateSave with the version that now is current.
type StateSaved struct {
	OK      bool   `json:"ok"`
	Version uint64 `json:"version"`
}

// Join asks for a place in a group of Size participants.
type Join struct {
	Size int `json:"size,omitempty"` // when absent the experiment's, or 2
}

// Waiting tells a participant in the wait room how things stand.
type Waiting struct {
	OK       bool `json:"ok"`
	Present  int  `json:"present"` // waiting now, this participant included
	Size     int  `json:"size"`    // needed
	Position int  `json:"position"`
	// ExpectedMS is until enough have come, if they come as lately. Absent
	// while nobody can tell.
	ExpectedMS int64 `json:"expected_ms,omitempty"`
	TimeoutMS  int64 `json:"timeout_ms,omitempty"` // until the waiting is over; absent: it never is
}

// GroupReady tells every member that the group is complete. Members stand in
// the same order for everybody.
type GroupReady struct {
	Group   string   `json:"group"`
	Members []string `json:"members"`
}

// GroupEnd tells the members who are left that the group is over.
type GroupEnd struct {
	Group       string `json:"group"`
	Participant string `json:"participant"` // whose seat was given up
	Reason      Reason `json:"reason"`
	Requeued    bool   `json:"requeued,omitempty"` // the others wait for new partners, ahead of everybody else
}

// GroupChanged tells the members who they are now.
type GroupChanged struct {
	Group   string   `json:"group"`
	Members []string `json:"members"`
	Left    string   `json:"left,omitempty"`   // whose seat was given up
	Joined  string   `json:"joined,omitempty"` // who took the place
	// Missing is how many places are held open, until DeadlineMS from now.
	Missing    int   `json:"missing,omitempty"`
	DeadlineMS int64 `json:"deadline_ms,omitempty"`
}

// Ask wants to know from the members how a group shall go on.
type Ask struct {
	Group       string   `json:"group"`
	Participant string   `json:"participant"` // whose seat was given up
	Choices     []string `json:"choices"`
	Default     string   `json:"default"` // if nobody answers in time, or they disagree
	DeadlineMS  int64    `json:"deadline_ms"`
}

// Answer is one of Ask's choices.
type Answer struct {
	Choice string `json:"choice"`
}

// Ended tells a participant that the study is over, how, and how to be paid.
type Ended struct {
	OK      bool    `json:"ok"`
	Outcome Outcome `json:"outcome"`
	Code    string  `json:"code,omitempty"`
	Link    string  `json:"link,omitempty"`
	Partner string  `json:"partner,omitempty"` // whose seat was given up, if that is why
}

// Notice is what the experimenter has to say to a participant.
type Notice struct {
	Text string `json:"text"`
}

// Send is a message to the sender's group.
type Send struct {
	Data Raw `json:"data"`
	// ID grows with each message of a page (of Auth.PageID). One that is sent
	// again with the same ID is acknowledged and not relayed again.
	ID uint64 `json:"id,omitempty"`
	// Latest is a key: the message takes the place of an earlier one of the
	// sender with the same key that a partner has not read yet.
	Latest string `json:"latest,omitempty"`
	// Volatile messages are not stored, and lost if the partner's page cannot
	// read them now.
	Volatile bool `json:"volatile,omitempty"`
	// Group, if given, must be the sender's.
	Group string `json:"group,omitempty"`
}

// Sent answers Send, when the message is stored.
type Sent struct {
	OK  bool   `json:"ok"`
	Seq uint64 `json:"seq,omitempty"` // counts the sender's messages
	// Repeated: the message had been sent before; it was not relayed again.
	Repeated bool     `json:"repeated,omitempty"`
	Dropped  []string `json:"dropped,omitempty"` // partners who will not get it, see MessageDropped
}

// Message is a Send as the partners receive it. Seq counts the messages to the
// receiver; numbers may be missing, none comes twice on a connection. A volatile
// message has none.
type Message struct {
	From string `json:"from"`
	Seq  uint64 `json:"seq,omitempty"`
	Data Raw    `json:"data"`
}

// MessageDropped tells a sender that messages to a partner will not arrive.
type MessageDropped struct {
	To     string `json:"to"`
	Seq    uint64 `json:"seq,omitempty"` // the sender's number, if it is one message
	Count  int    `json:"count"`
	Reason Reason `json:"reason"`
}

// Barrier asks to be told when every member of the group has reached the
// barrier of that name.
type Barrier struct {
	Name      string `json:"name"`
	TimeoutMS int64  `json:"timeout_ms,omitempty"` // 10 min when absent
}

// BarrierOpen answers Barrier.
type BarrierOpen struct {
	OK      bool     `json:"ok"`
	Name    string   `json:"name"`
	Members []string `json:"members"` // who have reached it
}

// BarrierWaiting tells those who have reached a barrier who has not.
type BarrierWaiting struct {
	Name    string   `json:"name"`
	Reached []string `json:"reached"`
	Missing []string `json:"missing"`
}

// GroupPaused tells the members that the group waits for some of them. It names
// the one who may take longest; Members are all of them.
type GroupPaused struct {
	Group       string         `json:"group"`
	Participant string         `json:"participant"`
	State       Presence       `json:"state"`
	DeadlineMS  int64          `json:"deadline_ms,omitempty"`
	SinceMS     int64          `json:"since_ms"` // the group waits
	Members     []PartnerState `json:"members"`
}

// GroupResumed tells them that all are active again.
type GroupResumed struct {
	Group    string `json:"group"`
	PausedMS int64  `json:"paused_ms"`
}

// Ping measures latency; LatencyMS is the round trip of the ping before.
type Ping struct {
	Seq       uint64  `json:"seq,omitempty"` // the last message that this page has read
	ID        uint64  `json:"id,omitempty"`
	LatencyMS float64 `json:"latency_ms,omitempty"`
}

// Pong answers Ping at once. MaxLatency is the largest recent round trip in
// milliseconds of the participant's group.
type Pong struct {
	ID         uint64  `json:"id,omitempty"`
	MaxLatency float64 `json:"max_latency"`
	MedianMS   float64 `json:"median_ms"` // of the participant's own recent round trips
	JitterMS   float64 `json:"jitter_ms"` // the median difference between one and the next
}

// PageHide says that the page is being left.
type PageHide struct {
	Persisted bool `json:"persisted,omitempty"` // it may come back from the back/forward cache
}

// Restarting tells a client to come back after a delay.
type Restarting struct {
	DelayMS int64 `json:"delay_ms"`
}

// Raw is JSON that is passed on untouched.
type Raw []byte

func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

func (r *Raw) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}
