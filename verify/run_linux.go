package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/idmap"
	"github.com/belljar-dev/belljar/internal/userns"
	"golang.org/x/sys/unix"
)

// The descriptors of a world's first process.
const (
	fdResult = 3 + iota // write end: one [told]
	fdConfig            // a worldConfig
	fdLife              // its end is the end of the world
	fdHits              // read end: what the internet saw; made by the set-up
)

// A told is what a world reports to the process that started it.
type told struct {
	Findings    map[string]finding    `json:"findings"`
	Tier        string                `json:"tier"`
	Enforcement []belljar.Enforcement `json:"enforcement"`
	Complaint   string                `json:"complaint,omitempty"` // what another sandbox printed on its standard error
	Err         string                `json:"err,omitempty"`
	Hint        string                `json:"hint,omitempty"`
}

// worldConfig is what a world is told at its start.
type worldConfig struct {
	Options
	Control bool `json:"control"` // no sandbox
}

// Run builds both worlds, attacks in both and merges what they saw. The error says
// that nothing could be proved.
func Run(ctx context.Context, o Options) (*Report, error) {
	if p := userns.Check(); p != nil {
		return nil, &belljar.Error{Op: "make a world for the attacks", Kind: belljar.KindNotHere, Err: errors.New(p.Reason), Hint: p.Remedy}
	}
	if err := checkOnly(allRows(), o.Only); err != nil {
		return nil, err
	}
	rows := chosen(allRows(), o.Only)
	type answer struct {
		t   told
		err error
	}
	answers := [2]chan answer{make(chan answer, 1), make(chan answer, 1)}
	ctx, cancel := context.WithTimeout(ctx, 900*time.Second)
	defer cancel()
	for i, ch := range answers {
		go func() {
			t, err := startWorld(ctx, worldConfig{Options: o, Control: i == 1})
			if err != nil {
				cancel() // the other one proves nothing alone
			}
			ch <- answer{t, err}
		}()
	}
	s, c := <-answers[0], <-answers[1]
	if err := firstReal(s.err, c.err); err != nil {
		return nil, err
	}
	r := &Report{Tier: s.t.Tier, Attacks: merge(rows, s.t.Findings, c.t.Findings, s.t.Enforcement)}
	if o.Command != "" {
		if err := neverRan(&s.t); err != nil {
			return nil, err
		}
		r.Tier = otherSandbox
		for i := range r.Attacks {
			r.Attacks[i].Layer = "" // its layers have other names
		}
	}
	r.count()
	return r, nil
}

// neverRan says why nothing was attacked in another sandbox; nil where something was.
func neverRan(t *told) error {
	for _, f := range t.Findings {
		if f.Ran {
			return nil
		}
	}
	why := "it did not start the attacker"
	if said := oneLine(t.Complaint); said != "" {
		why += "; it said: " + said
	}
	return &belljar.Error{
		Op: "attack another sandbox", Kind: belljar.KindUsage, Err: errors.New(why),
		Hint: "--command takes the words that start it, to which a command is added, as in 'bwrap … --'; the attacker lies in HOME and must be visible inside",
	}
}

// firstReal is the first error that is not the echo of the other one.
func firstReal(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// worldCaps are what the set-up needs inside the world's own user namespace. They
// are gone before anything of the sandbox starts.
var worldCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE}

const worldFlags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// startWorld runs one world to its end.
func startWorld(ctx context.Context, c worldConfig) (told, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return told{}, err
	}
	result, theirResult, err := os.Pipe()
	if err != nil {
		return told{}, err
	}
	defer result.Close()
	theirLife, life, err := os.Pipe()
	if err != nil {
		theirResult.Close()
		return told{}, err
	}
	defer life.Close()
	cfgRead, cfgWrite, err := os.Pipe()
	if err != nil {
		return told{}, errors.Join(err, theirResult.Close(), theirLife.Close())
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageVariable+"=set-up")
	cmd.ExtraFiles = []*os.File{theirResult, cfgRead, theirLife}
	cmd.Stderr = &limitedBuffer{b: &stderr, left: 64 << 10}
	id := idmap.Map{HostUID: os.Getuid(), HostGID: os.Getgid(), UID: os.Getuid(), GID: os.Getgid()}
	cmd.SysProcAttr = idmap.Attr(id, worldFlags, worldCaps)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setsid = true // no terminal of the caller's
	err = startLocked(cmd)
	for _, f := range []*os.File{theirResult, cfgRead, theirLife} {
		f.Close()
	}
	if err != nil {
		cfgWrite.Close()
		return told{}, &belljar.Error{Op: "make a world for the attacks", Kind: belljar.KindNotHere, Err: err, Hint: "belljar doctor says what this host lacks"}
	}
	go func() { _, _ = cfgWrite.Write(body); cfgWrite.Close() }()
	var t told
	derr := json.NewDecoder(io.LimitReader(result, 64<<20)).Decode(&t)
	werr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return told{}, ctx.Err()
	case derr != nil:
		return told{}, &belljar.Error{Op: "attack in a world", Kind: belljar.KindInternal, Err: fmt.Errorf("it ended early: %w", errors.Join(werr, errors.New(stderr.String())))}
	case t.Err != "":
		return told{}, &belljar.Error{Op: "attack in a world", Kind: belljar.KindNotHere, Err: errors.New(t.Err), Hint: t.Hint}
	}
	return t, nil
}

// startLocked starts cmd from a thread that lives until cmd has ended, because the
// kernel ties the death signal to the thread that forked.
func startLocked(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		if cmd.Process != nil {
			// Keeps the thread; the process is reaped by whoever waits for cmd.
			var si unix.Siginfo
			for unix.Waitid(unix.P_PID, cmd.Process.Pid, &si, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
			}
		}
		runtime.UnlockOSThread()
	}()
	return <-started
}

// A limitedBuffer keeps the first bytes and drops the rest.
type limitedBuffer struct {
	b    *bytes.Buffer
	left int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b.Write(p[:n])
	l.left -= n
	return len(p), nil
}
