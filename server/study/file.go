package study

// File is the form of a study file. Every key is optional. The doc tags become
// the descriptions of the schema.
type File struct {
	PageInterval Span                  `yaml:"page_interval" doc:"How often a page is asked for a sign of life. Default 2s."`
	Policy       PolicyFile            `yaml:"policy" doc:"How long each kind of silence is tolerated, in every experiment that does not say otherwise."`
	Experiments  map[string]Experiment `yaml:"experiments" doc:"The experiments, by the name that a page gives as experiment when it connects. A page need not name the only one."`
}

// PolicyFile is grace.Policy as a file has it. What is left out is inherited.
type PolicyFile struct {
	ProbeInterval    Span  `yaml:"probe_interval" doc:"Ask the browser when nothing was heard for this long; off: never. Default 1s."`
	SilenceTimeout   Span  `yaml:"silence_timeout" doc:"No sign of life of any kind for this long: away. Default 4s."`
	BlockedAfter     Span  `yaml:"blocked_after" doc:"The page is silent without a declared load while its browser answers: blocked. Default 3s."`
	BlockedTimeout   Span  `yaml:"blocked_timeout" doc:"Longest undeclared block before the seat is given up. Default 20s."`
	LoadTimeout      Span  `yaml:"load_timeout" doc:"Lease of a load that declares no expectation. Default 1m."`
	LoadCap          Span  `yaml:"load_cap" doc:"Longest single lease, whatever the page asks for. Default 3m."`
	LoadBudget       Span  `yaml:"load_budget" doc:"Loading time of one session; off: unlimited. Default 10m."`
	LoadCount        Count `yaml:"load_count" doc:"Loads of one session; off: unlimited. Default 50."`
	ReconnectTimeout Span  `yaml:"reconnect_timeout" doc:"How long a seat is held after the network was lost. Default 30s."`
	LeaveTimeout     Span  `yaml:"leave_timeout" doc:"How long a seat is held after the page was closed, left or refreshed. Default 15s."`
	PageTimeout      Span  `yaml:"page_timeout" doc:"Silence tolerated where the browser cannot be asked (long-polling). Default 16s."`
}

// Experiment is one experiment of a study file.
type Experiment struct {
	Group        GroupFile       `yaml:"group" doc:"Who plays together."`
	Policy       PolicyFile      `yaml:"policy" doc:"Where this experiment differs from the policy of the file."`
	Scenes       []SceneFile     `yaml:"scenes" doc:"The scenes in their order. A page is told the order that was drawn for its participant and saves its position by state_save's scene_id."`
	Conditions   []ConditionFile `yaml:"conditions" doc:"One is drawn for each participant, once, in permuted blocks: at any moment the numbers are balanced within one block."`
	BlockSize    int             `yaml:"block_size" doc:"Participants in a block of the draw: a multiple of the sum of the weights. Default: that sum." min:"1"`
	Seed         *uint64         `yaml:"seed" doc:"Of every draw. The same seed gives the same draws. Default: the database's own secret."`
	Pyodide      PyodideFile     `yaml:"pyodide" doc:"What the pages load."`
	RequireToken bool            `yaml:"require_token" doc:"Only the browser that began a session comes back to it, by its token, and nobody else who knows the participant's id. Default: the id is enough."`
	OnExpiry     ExpiryFile      `yaml:"on_expiry" doc:"What becomes of a group of the wait room when the seat of a member was given up. Default: it ends."`
	Completion   Payment         `yaml:"completion" doc:"For participants whose page said that the study is finished."`
	Compensation Payment         `yaml:"compensation" doc:"For participants who could not finish through no fault of theirs: nobody came to the wait room, or the partner has left."`
}

// GroupFile says how groups are made.
type GroupFile struct {
	Size          int  `yaml:"size" doc:"Members of a group. Default 2." min:"2" max:"100"`
	WaitTimeout   Span `yaml:"wait_timeout" doc:"Longest time in the wait room; off: unlimited. Default 10m."`
	SameCondition bool `yaml:"same_condition" doc:"Only participants of the same condition play together."`
	MaxLatency    Span `yaml:"max_latency" doc:"Only participants whose measured round trip is at most this long are put into a group. Default: anybody."`
}

// SceneFile is one scene.
type SceneFile struct {
	ID       string     `yaml:"id" doc:"The scene_id of state_save."`
	Policy   PolicyFile `yaml:"policy" doc:"Where this scene differs from the policy of the experiment."`
	Shuffled bool       `yaml:"shuffled" doc:"The shuffled scenes change places with each other, drawn for each participant."`
}

// ConditionFile is one condition.
type ConditionFile struct {
	Name   string   `yaml:"name" doc:"As the page and the data have it."`
	Weight int      `yaml:"weight" doc:"How often it occurs in a block, relative to the others. Default 1." min:"1"`
	Scenes []string `yaml:"scenes" doc:"The scenes of this condition, by id, in their order. Default: all."`
}

// PyodideFile says what the pages load.
type PyodideFile struct {
	Packages []string `yaml:"packages" doc:"Packages to install, by name or by the address of a wheel. The page is told them in session.packages."`
}

// ExpiryFile is what becomes of a group that lost a member.
type ExpiryFile struct {
	Do        Action   `yaml:"do" doc:"end: the others get an outcome; continue: they go on without the member; requeue: they wait for new partners, ahead of everybody else; replace: the next in the wait room takes the place; ask: their pages choose. Default end."`
	Minimum   int      `yaml:"minimum" doc:"Fewest members with whom a group may continue; with fewer it ends. Default 2." min:"1" max:"100"`
	Delay     Span     `yaml:"delay" doc:"How long replace waits for somebody, and ask for answers. Default 30s."`
	Otherwise Action   `yaml:"otherwise" doc:"What happens when that time is over: end, continue or requeue. Default end."`
	Choices   []Action `yaml:"choices" doc:"What the pages may choose from when they are asked. Default: end, continue and requeue."`
}

// Payment is how a participant is paid.
type Payment struct {
	Code string `yaml:"code" doc:"The code to enter, such as Prolific's."`
	Link string `yaml:"link" doc:"The address to return to. {participant} and {code} are filled in."`
}
