package gvisor

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
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
	sentry := path.Base(path.Dir(l.statm.Name()))
	threads, err := os.ReadDir("/proc/" + sentry + "/task")
	if err != nil {
		return nil, err
	}
	// The number still is the sentry's as long as its open file tells something.
	if n, err := l.statm.ReadAt(make([]byte, 1), 0); n == 0 {
		return nil, err
	}
	dead := map[string]bool{}
	for _, t := range threads {
		children, err := os.ReadFile("/proc/" + sentry + "/task/" + t.Name() + "/children")
		if os.IsNotExist(err) && t.Name() == sentry {
			return nil, err // this kernel does not tell
		}
		for pid := range strings.FieldsSeq(string(children)) {
			if zombie(pid, sentry) {
				dead[pid] = true
			}
		}
	}
	return dead, nil
}

// zombie says whether pid is a child of parent that has ended.
func zombie(pid, parent string) bool {
	f, err := os.Open("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, 256)
	n, err := f.Read(buf)
	if err != nil && err != io.EOF {
		return false
	}
	// The name in parentheses may contain anything.
	stat := string(buf[:n])
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	return len(fields) > 1 && fields[0] == "Z" && fields[1] == parent
}
