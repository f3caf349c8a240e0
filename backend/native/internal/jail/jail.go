// Package jail is the first process of a sandbox on the host's kernel: PID 1 of its
// own user, mount, PID, network, IPC, UTS and cgroup namespaces. It builds the
// root and the network, gives up its capabilities, starts what the supervisor asks
// for, and reaps; with it everything inside ends.
//
// Commands are forked from one thread, which has given up everything that they must
// not have: capabilities, new privileges, files by Landlock, system calls by a
// filter. The other threads, which never touch anything that comes from inside, give up
// the same as far as Go can reach them.
//
// # Limitations
//
// It imports the standard library, x/sys and packages that do the same, because it
// runs before the rest of the program is initialised. It reads nothing from inside
// but the ends of its children.
package jail

import (
	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/backend/native/internal/namespaces"
)

// Name is argv[0] of the first process.
const Name = namespaces.Argv0

// The kinds of steps beyond those of package stage.
const (
	StepTmpfs  stage.OpKind = "tmpfs"  // private memory of Size bytes
	StepProc   stage.OpKind = "proc"   // processes of the sandbox, masked
	StepDev    stage.OpKind = "dev"    // the harmless devices
	StepInside stage.OpKind = "inside" // bind Source, a file of the root itself, read-only
)

// Files is the folder of the root from which files of the plan are bound to where
// the sandbox could otherwise replace them.
const Files = "/run/belljar/files"

// A Step is one step in making the root.
type Step struct {
	stage.Op
	Size int64 `json:"size,omitempty"`
}

// A Job is what the supervisor wants to be built.
type Job struct {
	Root     string   `json:"root"`  // an empty folder: the root is mounted here
	Steps    []Step   `json:"steps"` // in this order
	Writable []string `json:"writable"`
	Masked   []string `json:"masked,omitempty"` // sockets of the host, covered by an empty file
	Denied   []string `json:"denied,omitempty"` // programs, or links to them, covered by a file that nobody may use
	Hostname string   `json:"hostname"`
	CPUs     int      `json:"cpus"`
	// Pinned: CPUs are fewer than the host has.
	Pinned bool `json:"pinned,omitempty"`
	Files  int  `json:"files"`
	// Processes is the limit without the threads of this process.
	Processes int   `json:"processes"`
	Memory    int64 `json:"memory"` // what /proc/meminfo shows
}

// A Request is what the supervisor asks of a running sandbox.
type Request struct {
	ID     uint64   `json:"id"` // of the command, chosen by the supervisor
	Signal int      `json:"signal,omitempty"`
	Group  bool     `json:"group,omitempty"` // Signal is for its process group
	Path   string   `json:"path,omitempty"`
	Argv   []string `json:"argv,omitempty"`
	Env    []string `json:"env,omitempty"`
	Dir    string   `json:"dir,omitempty"`
	Extra  int      `json:"extra,omitempty"` // processes beyond the plan's; counts with the first command
}

// A Report is what the first process tells.
type Report struct {
	View *int `json:"view,omitempty"` // the device of this view is attached; answer with an [Ack]
	// Link: the network is ready; attached is its other end. It comes once, before Built.
	Link   bool   `json:"link,omitempty"`
	Header []byte `json:"header,omitempty"` // of the link's packets
	// Counts: attached is what tells of use: the process list, its memory file systems,
	// and, where the kernel has them, the lists of System V objects and a socket that
	// tells of sockets. It comes once, before Built.
	Counts bool `json:"counts,omitempty"`
	// Built: all is ready.
	Built bool `json:"built,omitempty"`
	// Threads is how many processes and threads are ours.
	Threads int `json:"threads,omitempty"`

	ID      uint64 `json:"id,omitempty"` // of the command that this is about
	PID     int    `json:"pid,omitempty"`
	Errno   int    `json:"errno,omitempty"`
	Started bool   `json:"started,omitempty"`
	Ended   bool   `json:"ended,omitempty"`
	Status  int    `json:"status,omitempty"`
	Err     string `json:"err,omitempty"` // nothing was built
}

// An Ack says that a view is served.
type Ack struct{}

// FDControl is the one descriptor that it is started with beside the standard ones: a
// socket to the supervisor. The [Job] comes over it first; its end is the end.
const FDControl = 3

// MTU is the largest packet of the sandbox's network.
const MTU = 65520

// Interface is the name of the link inside.
const Interface = "eth0"
