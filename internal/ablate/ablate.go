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

// The layers that can be switched off, by the names that verify prints.
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
	Terminal = "terminal: filter"
	Limits   = "limit: watcher"
)

// Layers lists them.
func Layers() []string {
	return []string{Home, Mounts, Etc, Env, Hide, Hold, Links, Review, Disk, Decide, Guard, Target, Terminal, Limits}
}
