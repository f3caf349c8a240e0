// Package belljar holds the nouns of the product and the contracts between its
// parts: what a sandbox is given ([Plan]), who builds it ([Backend]), what is
// known of it ([Event]) and how a refusal is explained ([Decision], [Error]).
//
// It imports the standard library only. Every other package depends on it; it
// depends on none of them. Values are plain data: a [Plan] is made once by
// package plan and is read-only from then on, so it may be shared between
// goroutines without locking.
//
// # Limitations
//
// The package promises nothing by itself. What a tier enforces on a given host
// is reported by [Backend.Probe] as data and compared with the plan before
// anything is started.
package belljar

import (
	"context"
	"net/netip"
	"os"
	"time"
)

// Version is the version of belljar, set at link time by the release build.
var Version = "0.1.0-dev"

// Mode says what becomes of the writes below the workspace.
type Mode string

// The workspace modes.
const (
	// ModeLive writes safe changes through to the host at once; what would
	// execute on the host by itself is held in the shadow.
	ModeLive Mode = "live"
	// ModeWorktree gives the sandbox a work tree and a branch of its own; what it
	// commits there is brought home when the user asks for it.
	ModeWorktree Mode = "worktree"
	// ModeReview holds every change in the shadow until it is applied.
	ModeReview Mode = "review"
	// ModeReadOnly refuses every change with EROFS.
	ModeReadOnly Mode = "readonly"
)

// An Origin says where a rule or a setting comes from, for explanations.
type Origin struct {
	Layer string `json:"layer"`          // default, preset, user, project, flag, ceiling
	File  string `json:"file,omitempty"` // the file, or the preset's name
	Line  int    `json:"line,omitempty"` // 1-based; 0 when there is no line
	Text  string `json:"text,omitempty"` // the rule as written
}

// A Pattern is a file-name pattern in the syntax of package internal/glob,
// relative to the workspace, together with where it was written.
type Pattern struct {
	Glob   string `json:"glob"`
	Origin Origin `json:"origin"`
}

// A Plan says exactly what one sandbox is given: what is mounted, hidden and
// limited, which names exist on its network, which command runs first. It is
// pure data, made by package plan from a policy, facts of the host and the
// capabilities of a tier; it holds no secret and prints as JSON.
type Plan struct {
	ID       string   `json:"id"`   // unique in this user's state for ever: time, then random letters
	Name     string   `json:"name"` // [a-z][a-z0-9-]{0,30}; what the user calls it
	Tier     string   `json:"tier"`
	Hostname string   `json:"hostname"`
	Identity Identity `json:"identity"`

	Command Exec `json:"command"` // the command; only Setup runs before it
	// Setup runs before Command, in order; the first that fails ends the run.
	Setup     []SetupStep `json:"setup,omitempty"`
	Env       []string    `json:"env"`                  // NAME=value, sorted; the environment of every command
	Workspace Workspace   `json:"workspace"`            // the project and how it is served
	Mounts    []Mount     `json:"mounts"`               // everything else that is visible, parents before children
	HomeFiles []HomeFile  `json:"home_files,omitempty"` // written into a HOME that does not have them, before the first command
	Network   Network     `json:"network"`
	Commands  *Commands   `json:"commands,omitempty"` // rules for commands, where there are any
	// Denied are the rules of Commands that ask or deny, in a tier that does not enforce
	// [ReqCommands]: what holds each.
	Denied []DeniedProgram `json:"denied,omitempty"`
	Limits Limits          `json:"limits"`

	// Enforcement lists, per requirement, what holds it in this tier on this
	// host. It contains a gap only where the user said --best-effort.
	Enforcement []Enforcement `json:"enforcement"`
	BestEffort  bool          `json:"best_effort,omitempty"`

	// Notes say in one sentence each what was left out of the plan and why.
	Notes []string `json:"notes,omitempty"`
}

// A HomeFile is a small file that a fresh HOME begins with. One that exists
// already, in a HOME that is kept, stays as it is.
type HomeFile struct {
	Path    string `json:"path"` // relative, below HOME, slashes, no ".."
	Content string `json:"content"`
	// From names a file that the caller made for the run, whose content it is in place
	// of Content. The file takes the place of one that contains Mark, from an earlier run.
	From string `json:"from,omitempty"`
	Mark string `json:"mark,omitempty"`
}

// An Identity is who the sandbox is: on the host and as seen from inside.
type Identity struct {
	HostUID int    `json:"host_uid"` // every process of the sandbox, never 0
	HostGID int    `json:"host_gid"`
	UID     int    `json:"uid"` // the same one as seen inside
	GID     int    `json:"gid"`
	User    string `json:"user"` // login name inside
	Home    string `json:"home"` // absolute path inside
	Shell   string `json:"shell"`
}

// A SetupStep is a command that prepares a sandbox.
type SetupStep struct {
	Argv []string `json:"argv"` // argv[0] is looked up inside, along the PATH of the plan
	// Each says that it runs in every run. Otherwise it runs once where HOME is kept, until
	// its words change.
	Each   bool   `json:"each,omitempty"`
	Origin Origin `json:"origin"`
}

// An Exec is a command to run: resolved, so that nothing is looked up again.
type Exec struct {
	// Path is absolute, as seen inside. In a [Command] that is not the first it may be a
	// name without a slash, which is looked up inside along the PATH of its environment.
	Path string   `json:"path"`
	Argv []string `json:"argv"` // argv[0] as the user wrote it
	Dir  string   `json:"dir"`  // working directory inside
}

// A Workspace is the project as the sandbox sees it.
type Workspace struct {
	Dir   string `json:"dir"` // real path on the host, symlinks resolved
	Mode  Mode   `json:"mode"`
	Views []View `json:"views"` // the project first; then git directories that belong to it but lie elsewhere
	// Hide are names that do not exist inside, Hold are names whose changes stay
	// in the shadow; both are added to what package workspace/rules knows by itself.
	Hide []Pattern `json:"hide"`
	Hold []Pattern `json:"hold"`
	// Pass are names that in mode review are written through as in mode live.
	Pass []Pattern `json:"pass,omitempty"`
	// Shadow is the folder on the host that keeps private copies and whiteouts.
	// It belongs to the project, not to one sandbox, so that what waits is found again.
	Shadow string `json:"shadow"`
}

// Tree is the folder of the host that is served as the project: Dir, or a work tree of
// the sandbox's own.
func (w *Workspace) Tree() string {
	if len(w.Views) == 0 {
		return w.Dir
	}
	return w.Views[0].Source
}

// A View is one tree served by our file server.
type View struct {
	Source   string `json:"source"`        // real path on the host
	Target   string `json:"target"`        // absolute path inside; equal to Source unless the plan says why
	Git      bool   `json:"git,omitempty"` // Source itself is a git directory (the common directory of a linked worktree, a submodule's)
	ReadOnly bool   `json:"read_only,omitempty"`
}

// MountKind says how a [Mount] comes to be.
type MountKind string

// The kinds of mounts that a backend knows.
const (
	MountBind    MountKind = "bind"    // Source of the host at Target
	MountFile    MountKind = "file"    // a small read-only file with Content
	MountDir     MountKind = "dir"     // an empty directory of the root
	MountSymlink MountKind = "symlink" // Content is the link's text
	MountTmpfs   MountKind = "tmpfs"   // private memory, at most Size bytes
	MountProc    MountKind = "proc"
	MountDev     MountKind = "dev" // null, zero, full, random, urandom, tty, ptmx, pts, shm, fd: nothing of the host
)

// A Mount is one visible thing outside the workspace.
type Mount struct {
	Kind     MountKind `json:"kind"`
	Source   string    `json:"source,omitempty"`
	Target   string    `json:"target"`
	ReadOnly bool      `json:"read_only,omitempty"`
	Perm     uint32    `json:"perm,omitempty"` // mode bits of a file, dir or tmpfs
	Size     int64     `json:"size,omitempty"` // bytes, tmpfs only
	Content  string    `json:"content,omitempty"`
	// Private says that nobody on the host changes Source during the run, so
	// that every cache may be kept.
	Private bool   `json:"private,omitempty"`
	Why     string `json:"why"` // shown by plan and explain
}

// Limits bound what a sandbox may use. Zero means the design's default was not
// applied and is refused by every backend: nothing is ever unlimited.
type Limits struct {
	Memory    int64         `json:"memory"` // bytes, everything counted: anonymous, memfd, tmpfs, shm
	CPUs      float64       `json:"cpus"`
	Processes int           `json:"processes"` // threads count, as RLIMIT_NPROC counts them
	Disk      int64         `json:"disk"`      // bytes that the run may add below the workspace and HOME
	Files     int           `json:"files"`     // descriptors per process
	Time      time.Duration `json:"time"`
	Log       int64         `json:"log,omitempty"`    // bytes of its record; 0: what package event says
	Tokens    int64         `json:"tokens,omitempty"` // of all models that Network.LLM names; 0: any number
}

// Capabilities are what a tier enforces on this host, one entry per requirement.
type Capabilities struct {
	Tier         string        `json:"tier"`
	Usable       bool          `json:"usable"`            // false: nothing can be started here
	Reason       string        `json:"reason,omitempty"`  // why not
	Remedy       string        `json:"remedy,omitempty"`  // the exact fix
	Version      string        `json:"version,omitempty"` // of the technology, with its date
	Requirements []Enforcement `json:"requirements"`
}

// Level says how well a requirement is held.
type Level string

// The levels of enforcement.
const (
	Enforced    Level = "enforced"
	Approximate Level = "approximate" // held, with a bounded delay or overshoot that Gap states
	None        Level = "none"
)

// Requirement is one thing that a policy may ask of a tier.
type Requirement string

// The requirements, in the order in which tables show them.
const (
	ReqKernel     Requirement = "kernel"         // a kernel of its own
	ReqReads      Requirement = "reads"          // nothing outside the plan can be read
	ReqWrites     Requirement = "writes"         // nothing outside the plan can be written
	ReqView       Requirement = "view"           // hidden and held names hold at any time
	ReqNetwork    Requirement = "network"        // no packet leaves but through the gateway
	ReqProcesses  Requirement = "host-processes" // host processes invisible and out of reach
	ReqSockets    Requirement = "sockets"        // no socket of the host: docker, ssh-agent, D-Bus, X11, abstract
	ReqPrivileges Requirement = "privileges"     // no capabilities, no set-uid, no new privileges
	ReqCalls      Requirement = "system-calls"   // calls that reach rarely used or dangerous parts of the host's kernel are refused, or answered by another kernel
	ReqDescriptor Requirement = "descriptors"    // no descriptor of the caller enters
	ReqTerminal   Requirement = "terminal"       // the caller's terminal is relayed, never given
	ReqMemory     Requirement = "limit-memory"
	ReqPids       Requirement = "limit-processes"
	ReqCPUs       Requirement = "limit-cpus"
	ReqDisk       Requirement = "limit-disk"
	ReqFiles      Requirement = "limit-files"
	ReqTime       Requirement = "limit-time"
	ReqExec       Requirement = "record-exec"     // every execve is on record, from outside
	ReqCommands   Requirement = "commands"        // programs that a rule for commands refuses do not run
	ReqDenied     Requirement = "denied-programs" // programs that a rule denies with any arguments cannot be read or executed
	ReqPrograms   Requirement = "programs"        // it is known which program opened a connection
	ReqSupervisor Requirement = "supervisor"      // who takes the supervisor over, by what it parses, finds little that it may do
	ReqDeath      Requirement = "death"           // the death of any process of ours ends the sandbox
)

// Enforcement says how one requirement is held.
type Enforcement struct {
	Requirement Requirement `json:"requirement"`
	Level       Level       `json:"level"`
	By          string      `json:"by,omitempty"`     // the mechanism
	Gap         string      `json:"gap,omitempty"`    // what is not held
	Remedy      string      `json:"remedy,omitempty"` // how to close it
}

// A Backend runs sandboxes in one isolation tier.
// Its methods are safe for concurrent use.
type Backend interface {
	// Name is the tier's name, as in --tier.
	Name() string
	// Probe reports what this tier enforces here. It starts no process, makes no
	// mount and takes less than a millisecond. An error means that it could not tell.
	Probe(ctx context.Context) (Capabilities, error)
	// Start starts an empty sandbox; every command, the first too, is a Process.
	// The first [Instance.Start] is always given Spec.Plan.Command.
	// On error nothing is left behind.
	Start(ctx context.Context, s *Spec) (Instance, error)
}

// A Spec is everything that a backend needs to build a sandbox.
type Spec struct {
	Plan   *Plan
	Dir    string           // private scratch folder, 0700, made and removed by the caller
	View   FileView         // serves Plan.Workspace.Views
	Attach func(Link) error // called once by the backend, before the first command runs; the gateway then owns the link
	Events EventSink        // never nil
	// MayExec, where it is not nil, is asked before each execve inside (not about commands
	// that [Instance.Start] is given, which come from outside) by tiers that enforce
	// [ReqCommands]: a text says why the program must not run. It may wait, for as long as
	// ctx, which ends with the process or the sandbox; it is called from many goroutines.
	MayExec func(ctx context.Context, e *ExecEvent) (refused string)
	// Early allows Start to return while files are still being mounted. The first
	// [Instance.Start] waits for them and then tells what went wrong.
	Early bool
	// Stays says that the sandbox does not end with its first command ([Warmer]): until Close a
	// process of the tier keeps it, which processes inside may kill.
	Stays bool
}

// A FileView serves the workspace. The backend mounts one FUSE file system per
// entry of Plan.Workspace.Views inside the sandbox's user and mount namespace and
// hands over the device.
type FileView interface {
	// Serve begins to serve Plan.Workspace.Views[i] through dev, an open /dev/fuse
	// whose file system is already mounted. It takes ownership of dev, returns once
	// the server has it, and must be called before anything looks into the mount.
	Serve(i int, dev *os.File) error
}

// A Link is the sandbox's only network: IP packets, one per message.
type Link struct {
	File *os.File // a read is one packet, a write is one: SOCK_SEQPACKET, TUN, AF_PACKET; owned by the receiver
	MTU  int      // without Header
	// Header precedes every packet, both ways: nil for none, else the header of an
	// Ethernet frame to the sandbox, whose last two bytes become the packet's type.
	Header []byte
	// Unchecked says that the sandbox's end neither makes nor looks at the checksums of
	// TCP and UDP. Those of what comes from inside are never looked at.
	Unchecked bool
}

// An Instance is a running sandbox. Its methods are safe for concurrent use.
type Instance interface {
	// Start runs a command. It takes ownership of the command's files, also on error.
	Start(ctx context.Context, c *Command) (Process, error)
	// Usage is a cheap snapshot; it may be called fifty times a second.
	Usage(ctx context.Context) (Usage, error)
	// Wait returns when the sandbox is gone, with the reason.
	Wait(ctx context.Context) (End, error)
	// Close ends the sandbox, waits until every process of it is gone and removes
	// what the backend made. Idempotent.
	Close() error
}

// A Warmer is an [Instance] of a sandbox that stays which can do beforehand what its first
// Start does otherwise.
type Warmer interface {
	// Warm returns when a command needs nothing but to be started. Idempotent; an error is
	// the one that Start would return.
	Warm(ctx context.Context) error
}

// An Opener is an [Instance] of a tier that enforces [ReqPrograms].
type Opener interface {
	// Opened says which program opened the connection between two addresses, as the
	// sandbox's link has them, whose first packet came at the time began: what was opened
	// later with the same addresses is another one. It may be given the credentials whose
	// [Credential.Programs] name it unless Refused says why not. An error means that it
	// could not be told.
	Opened(ctx context.Context, from, to netip.AddrPort, began time.Time) (o Opened, err error)
}

// Opened is who opened a connection.
type Opened struct {
	Program string // the file; a text from inside
	Refused string // why it may be given none of the credentials that are for some programs; empty: it may
}

// A Command is one process to start inside. The three files are ends of pipes or
// sockets made by the caller: no descriptor of the user enters the sandbox.
type Command struct {
	Exec
	Env []string // nil: the plan's
	// TTY asks for a terminal made inside. Stdin then feeds it, Stdout carries what
	// it prints, Stderr is unused.
	TTY    bool
	Size   WindowSize
	Stdin  *os.File // read end
	Stdout *os.File // write end
	Stderr *os.File // write end; nil when TTY
}

// Every sandbox holds this program, read-only, at HelperPath. A command with that as its
// argv[0] and a word behind it does there, with the rights of any other process inside,
// what only a process inside can do.
const (
	HelperPath = "/run/belljar/guest"
	// HelperFiles serves files by SFTP on the standard streams.
	HelperFiles = "sftp"
	// HelperConnect connects to the first of the addresses behind it (ADDRESS:PORT) that
	// answers, prints [HelperConnected] or another byte, and copies between the
	// connection and the standard streams.
	HelperConnect = "connect"
	// HelperConnected is the byte that says that the connection is made.
	HelperConnected = '+'
)

// A Process is a command that runs inside. Its methods are safe for concurrent use.
type Process interface {
	// Wait returns how it ended. It may be called more than once.
	Wait(ctx context.Context) (ExitStatus, error)
	// Signal sends a signal to the process (to its foreground group with a terminal).
	Signal(Signal) error
	// Resize changes the size of its terminal; without one it does nothing.
	Resize(WindowSize) error
}

// Signal is a signal number of Linux, also where belljar is built elsewhere.
type Signal int

// WindowSize is the size of a terminal in characters.
type WindowSize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int    `json:"code"`             // exit code, when Signal is 0
	Signal Signal `json:"signal,omitempty"` // the signal that killed it
}

// Status is the exit status that a shell would report: the code, or 128+signal.
func (s ExitStatus) Status() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

// Usage is what a sandbox uses at one moment.
type Usage struct {
	Memory    int64         `json:"memory"`    // bytes, everything that the limit counts
	Processes int           `json:"processes"` // threads, as the limit counts them; -1 unknown
	CPU       time.Duration `json:"cpu"`       // since its start, never less than before; 0 unknown
}

// EndReason says why a sandbox ended.
type EndReason string

// The reasons for which a sandbox ends.
const (
	EndExited  EndReason = "exited"  // its first command ended
	EndLimit   EndReason = "limit"   // a limit ended it
	EndKilled  EndReason = "killed"  // Close, a signal or the user ended it
	EndCrashed EndReason = "crashed" // a process of ours or of the tier died
)

// End says why a sandbox ended.
type End struct {
	Reason EndReason `json:"reason"`
	Limit  string    `json:"limit,omitempty"` // which one, with EndLimit
	Detail string    `json:"detail,omitempty"`
}
