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
const statsAge = 200 * time.Millisecond

// stats are what only the sentry knows. They are asked for in the background: a
// sentry under load must never delay whoever watches its memory.
type stats struct {
	mu        sync.Mutex
	asked     time.Time
	busy      bool
	known     bool
	processes int
	cpu       time.Duration
}

// Usage implements [belljar.Instance]. Memory is that of the memory file, which
// holds everything that programs inside allocate, and the sentry's own, without
// asking the sentry; processes and processor time are up to a few hundred
// milliseconds old.
func (in *instance) Usage(context.Context) (belljar.Usage, error) {
	u := belljar.Usage{Processes: -1}
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
	if s.known {
		u.Processes, u.CPU = s.processes, s.cpu
	}
	if !s.busy && time.Since(s.asked) > statsAge {
		s.busy = true
		go in.refresh()
	}
	return u, nil
}

func (in *instance) refresh() {
	processes, cpu, err := in.ctl.stats()
	s := &in.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.asked = false, time.Now()
	if err == nil {
		s.known, s.processes, s.cpu = true, processes, max(cpu, s.cpu)
	}
}
