// Package ablate switches off one layer of enforcement, in a test build only, so
// that belljar verify can be held to noticing it.
//
// Built with the tag "ablation", [Off] says yes for the layer that the variable
// BELLJAR_ABLATE names. Without the tag it is a constant no, the compiler drops
// what depends on it, and nothing of it is in the program; a test of package
// verify looks.
//
// # Limitations
//
// A program with the tag is for tests: whoever sets its environment decides what
// it enforces.
package ablate

// The layers that every tier has and that can be switched off, by the names that
// verify prints.
const (
	Home     = "plan: private HOME"
	Mounts   = "plan: only named mounts"
	Etc      = "plan: allow-list of /etc"
	Env      = "plan: allow-list of the environment"
	Hide     = "view: hidden names"
	Hold     = "view: held names"
	Links    = "view: links"
	Review   = "view: review"
	Disk     = "view: disk limit"
	Decide   = "gateway: decision"
	Guard    = "gateway: address guard"
	Target   = "gateway: SNI and Host check"
	StandIns = "credential: stand-ins"
	Places   = "credential: places"
	Answers  = "credential: search of answers"
	Terminal = "terminal: filter"
	Commands = "rules for commands"
	Limits   = "limit: watcher"
)

// Supervisor is the supervisor's own confinement. Verify does not attack it: its own
// test does.
const Supervisor = "supervisor: confinement"

// Record is the record: no event is sent or written. It is switched off to measure what events
// cost.
const Record = "event: record"

// The layers of which a tier is made. Not every tier has each of them. Verify names
// them in a row's layer, perhaps among others.
const (
	Filter       = "seccomp filter"
	Landlock     = "Landlock"
	Capabilities = "no capabilities"
	NoNewPrivs   = "no_new_privs"
	Descriptors  = "closed descriptors"
	ProcMask     = "masked /proc"
	UserLimits   = "no further namespaces"
	NSPID        = "PID namespace"
	NSNet        = "network namespace"
	NSIPC        = "IPC namespace"
	NSUTS        = "UTS namespace"
	NSCgroup     = "cgroup namespace"
	Programs     = "credential: programs"
)

// Layers lists those that every tier has.
func Layers() []string {
	return []string{Home, Mounts, Etc, Env, Hide, Hold, Links, Review, Disk, Decide, Guard, Target, StandIns, Places, Answers, Terminal, Commands, Limits}
}

// TierLayers lists those of which a tier is made.
func TierLayers() []string {
	return []string{Filter, Landlock, Capabilities, NoNewPrivs, Descriptors, ProcMask, UserLimits, NSPID, NSNet, NSIPC, NSUTS, NSCgroup, Programs}
}
