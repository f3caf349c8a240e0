package gvisor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// statsAge is how old the counts of processes and processor time may be.
// Near the limit of processes they are counted more often, because whoever runs
// into it may be gone a moment later.
const (
	statsAge     = 200 * time.Millisecond
	statsAgeNear = 20 * time.Millisecond
)

// stats are what only the sentry knows, and what takes a look at many files. They are
// asked for in the background: a sentry under load must never delay whoever watches
// its memory.
type stats struct {
	mu        sync.Mutex
	asked     time.Time
	busy      bool
	known     bool
	latest    int // processes
	processes int // the most since Usage told last
	cpu       time.Duration
}

// Usage implements [belljar.Instance]. Memory is that of the memory file, which
// holds everything that programs inside allocate, and the sentry's own, without
// asking the sentry; processes and processor time are up to a few hundred
// milliseconds old.
func (in *instance) Usage(context.Context) (belljar.Usage, error) {
	u := belljar.Usage{Processes: -1}
	select {
	case <-in.staged:
	default:
		return u, nil // nothing has run yet
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.memory == nil {
		return u, nil // nothing has run yet, or nothing runs any more
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(in.memory.Fd()), &st); err != nil {
		return u, fmt.Errorf("examine the memory file: %w", err)
	}
	u.Memory = st.Blocks*512 + in.launcher.private()
	s := &in.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	u.CPU = s.cpu
	if s.known {
		u.Processes = s.processes
		s.processes = s.latest
	}
	if !s.busy && time.Since(s.asked) > statsAge {
		s.busy = true
		go in.refresh()
	}
	return u, nil
}

// refresh asks the sentry, again and again while the limit of processes is near.
func (in *instance) refresh() {
	for in.refreshOnce() {
		select {
		case <-in.ended:
			return
		case <-time.After(statsAgeNear):
		}
	}
}

// refreshOnce says whether the limit of processes is near.
func (in *instance) refreshOnce() bool {
	// Times that cannot be read leave processes known: the time stays what it was.
	cpu, _ := in.launcher.cpu()
	processes, err := in.ctl.tasks()
	s := &in.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	if err == nil {
		s.processes = max(processes, s.processes)
		s.latest, s.known = processes, true
	}
	s.cpu = max(cpu, s.cpu)
	s.busy = err == nil && processes*2 >= in.plan.Limits.Processes
	return s.busy
}
