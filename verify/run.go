package verify

import (
	"context"
	"os"

	"github.com/belljar-dev/belljar"
)

// Options say what to verify.
type Options struct {
	Tier   string // as in --tier; for the report where Command is set
	Policy []byte // of --policy; nil for none
	// Command starts another sandbox instead of ours: words of a shell, to which the
	// attacker's command line is added.
	Command string
	Only    []string // rows and groups; empty for all
	Home    string   // the caller's, absolute
}

// A Launcher starts sandboxes inside a world, by the code path of belljar run.
type Launcher interface {
	// Launch runs one sandbox to its end. It is called inside a world, where HOME,
	// the current folder and the environment are the world's.
	Launch(ctx context.Context, j Job) (Outcome, error)
}

// A Job is one start of a sandbox.
type Job struct {
	Tier       string
	PolicyFile string // empty: none
	BestEffort bool   // as --best-effort
	Argv       []string
	Allow      []string // as --allow
	Credential []string // as --credential
	Mode       string   // as --mode
	Memory     string   // and so on: as the flags of run
	Processes  string
	Disk       string
	Time       string
	// The streams of the caller. None of them enters the sandbox.
	In, Out, Err *os.File
}

// An Outcome is how a start ended.
type Outcome struct {
	Status      int
	Tier        string
	Limit       string // that ended it
	Enforcement []belljar.Enforcement
}

// stageVariable tells a process of a world which part of its life it is in.
const stageVariable = "BELLJAR_VERIFY_STAGE"

// InWorld says whether this process is the first one of a world.
func InWorld() bool { return os.Getenv(stageVariable) != "" }
