package gvisor

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/procstat"
)

// gVisor runs what is inside in processes of the host that contain nothing else, one
// or two for each address space: stubs. It keeps them for later use and ends none
// itself. When somebody else does (a hand, the host when memory is short), the
// sentry does not notice, and whatever ran there hangs for ever. So we look.

const (
	stubInterval = time.Second
	// stubShare bounds the work: looking takes one part in so many of the time.
	stubShare = 100
)

// watchStubs ends the sandbox when a stub is dead and the sentry lets it lie. Where
// the kernel does not tell a process's children, it does nothing.
func (in *instance) watchStubs() {
	var before map[string]bool
	wait := stubInterval
	for {
		select {
		case <-in.ended:
			return
		case <-time.After(wait):
		}
		began := time.Now()
		dead, err := in.launcher.deadStubs()
		if err != nil {
			return // the sentry is gone, or nothing can be seen
		}
		for pid := range dead {
			if before[pid] { // it is not just about to be collected
				in.finish(belljar.End{
					Reason: belljar.EndCrashed,
					Detail: fmt.Sprintf("process %s, in which programs of the sandbox ran, was killed from outside", pid),
				})
				return
			}
		}
		before = dead
		wait = max(stubInterval, stubShare*time.Since(began))
	}
}

// deadStubs are the children of the sentry that have ended and were not collected.
func (l *launcherProcess) deadStubs() (map[string]bool, error) {
	sentry, err := l.sentryPID()
	if err != nil {
		return nil, err
	}
	all, err := children(sentry)
	dead := map[string]bool{}
	for pid, s := range all {
		if s.State == 'Z' {
			dead[pid] = true
		}
	}
	return dead, err
}

// cpu is the processor time that the sandbox cost this machine: the sentry's own and
// that of the stubs, in which its programs run. What the sentry tells of its tasks
// leaves out those that have ended.
func (l *launcherProcess) cpu() (time.Duration, error) {
	sentry, err := l.sentryPID()
	if err != nil {
		return 0, err
	}
	own, ok := stat(sentry)
	if !ok {
		return 0, fmt.Errorf("process %s tells no times", sentry)
	}
	below, err := cpuBelow(sentry, stubDepth)
	return own.CPU + below, err
}

// stubDepth: a stub is a child of the sentry or a child of one.
const stubDepth = 2

func cpuBelow(pid string, depth int) (time.Duration, error) {
	if depth == 0 {
		return 0, nil
	}
	all, err := children(pid)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for child, s := range all {
		below, err := cpuBelow(child, depth-1)
		if err != nil && !os.IsNotExist(err) { // it has just ended
			return 0, err
		}
		sum += s.CPU + below
	}
	return sum, nil
}

// sentryPID is the sentry's number as long as it runs.
func (l *launcherProcess) sentryPID() (string, error) {
	// The number still is the sentry's as long as its open file tells something.
	if n, err := l.statm.ReadAt(make([]byte, 1), 0); n == 0 {
		return "", err
	}
	return path.Base(path.Dir(l.statm.Name())), nil
}

// children are the processes that the threads of pid started and that have not been
// collected. It is an error when this kernel does not tell.
func children(pid string) (map[string]procstat.Stat, error) {
	threads, err := os.ReadDir("/proc/" + pid + "/task")
	if err != nil {
		return nil, err
	}
	parent, err := strconv.Atoi(pid)
	if err != nil {
		return nil, err
	}
	all := map[string]procstat.Stat{}
	for _, t := range threads {
		list, err := os.ReadFile("/proc/" + pid + "/task/" + t.Name() + "/children")
		if err != nil && t.Name() == pid {
			return nil, err
		}
		for child := range strings.FieldsSeq(string(list)) {
			if s, ok := stat(child); ok && s.Parent == parent { // the number is not used again
				all[child] = s
			}
		}
	}
	return all, nil
}

func stat(pid string) (procstat.Stat, bool) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return procstat.Stat{}, false
	}
	return procstat.Parse(b)
}
