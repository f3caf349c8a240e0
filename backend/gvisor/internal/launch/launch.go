// Package launch is the launcher: the first process of a sandbox, PID 1 of its
// own user, mount, PID, IPC, UTS and network namespaces. It starts the sentry,
// which waits; stages the root file system; starts the gofer, which serves it;
// and ends everything when any of the others, the supervisor included, ends.
//
// The supervisor tells it everything by a [Job]; the launcher decides nothing and
// never reads a byte that comes from inside. As long as the sandbox lives it connects to the
// sentry for the supervisor, which may connect to no unix socket itself.
//
// # Limitations
//
// It keeps capabilities in its own user namespace as long as it lives. It needs
// Linux 5.12 (mount_setattr) and, for views, /dev/fuse.
package launch

import "github.com/belljar-dev/belljar/backend/internal/stage"

// Name is argv[0] of the launcher, of its children [NameGofer] and [NameSentry].
const (
	Name       = "belljar-launcher"
	NameGofer  = "belljar-gofer"
	NameSentry = "belljar-sentry"
)

// A Job is what the supervisor wants to be staged and started.
type Job struct {
	Root string     `json:"root"` // an empty folder: the staged root is mounted here
	Ops  []stage.Op `json:"ops"`  // in this order
	CPUs int        `json:"cpus"` // processors that the sentry may use
	Tmp  string     `json:"tmp"`  // an empty folder in which the sentry builds its own root
	// Debug keeps the standard error of the children, for the developers of this package.
	Debug bool `json:"debug,omitempty"`
	// Control is the folder in which the sentry listens at [ControlSocket].
	Control string `json:"control"`
}

// ControlSocket is the name of the socket of the sentry's control server.
const ControlSocket = "control"

// A Dialled answers a message on [FDDial]: a connection to the sentry comes with it, or the
// reason why there is none.
type Dialled struct {
	Err string `json:"err,omitempty"`
}

// A Report is what the launcher tells the supervisor.
type Report struct {
	View   *int   `json:"view,omitempty"`   // the device of this view is attached; answer with an [Ack]
	Staged bool   `json:"staged,omitempty"` // the root is ready and the gofer started; with a pidfd of the sentry
	Ended  string `json:"ended,omitempty"`  // a child ended: NameGofer or NameSentry
	Status int    `json:"status,omitempty"`
	Err    string `json:"err,omitempty"` // nothing was started, or no longer
}

// An Ack says that a view is served.
type Ack struct{}

// The descriptors that a launcher is started with.
const (
	FDControl = 3 + iota // to the supervisor; its end ends the launcher
	FDJob                // a memory file with the [Job]
	FDSentry             // the sentry's socket to the supervisor
	FDGofer              // the gofer's
	FDDial               // each message asks for one connection to the sentry; see [Dialled]
)

// FDChild is the socket to the supervisor in a child of the launcher.
const FDChild = 3
