package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLimits: each hog is stopped, named, and the host never waits. Every case
// has a small limit of its own and a bound inside the attack.
//
// A folder in memory is full at a little more than the limit, which takes a fast
// machine less than the time between two looks at the sandbox: what fills one stays
// until it is ended, as what wants to do harm would.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		flags  []string
		line   string
		status int // -1: any but the limit's
		named  string
	}{
		{"malloc", []string{"--memory", "300MiB"}, `python3 -c 'b=[]
for i in range(1500): b.append(bytearray(b"x")*(1<<20))'`, 137, "memory"},
		{"memfd", []string{"--memory", "300MiB"}, `python3 -c 'import os
f=os.memfd_create("x")
for i in range(1500): os.write(f, b"x"*(1<<20))'`, 137, "memory"},
		{"shared memory out of sight", []string{"--memory", "300MiB"}, `python3 -c 'import mmap, time
m=mmap.mmap(-1, 1500<<20)
for i in range(1500):
    m[i<<20:(i+1)<<20]=b"x"*(1<<20)
    m.madvise(mmap.MADV_DONTNEED, i<<20, 1<<20)
time.sleep(20)'`, 137, "memory"},
		{"tmpfs", []string{"--memory", "300MiB"}, `dd if=/dev/zero of=/tmp/x bs=1M count=1500; sleep 20`, 137, "memory"},
		{"shm", []string{"--memory", "300MiB"}, `dd if=/dev/zero of=/dev/shm/x bs=1M count=1500; sleep 20`, 137, "memory"},
		// The kernel gives a user 64 MiB of pipes of any size, and small ones from there on.
		{"pipes", []string{"--memory", "60MiB"}, `python3 -c 'import fcntl, os, time
for i in range(1500):
    r, w = os.pipe()
    try: fcntl.fcntl(w, 1031, 1<<20)
    except OSError: pass
    os.set_blocking(w, False)
    try:
        while True: os.write(w, b"x"*65536)
    except BlockingIOError: pass
time.sleep(20)'`, 137, "memory"},
		{"children", []string{"--memory", "300MiB"}, `for i in 1 2 3 4 5 6 7 8; do python3 -c 'x=bytearray(b"x")*(100<<20); import time; time.sleep(20)' & done; wait`, 137, "memory"},
		{"fork bomb", []string{"--processes", "64"}, `python3 -c 'import os,sys,time
n=0
for i in range(300):
    try:
        p=os.fork()
    except OSError as e:
        print("stopped", e.errno, n); time.sleep(5); break
    if p==0: time.sleep(20); os._exit(0)
    n+=1'`, -1, "processes"},
		{"disk in the project", []string{"--disk", "50MiB"}, `dd if=/dev/zero of=big bs=1M count=400`, -1, "disk"},
		{"disk in HOME", []string{"--disk", "50MiB"}, `dd if=/dev/zero of=$HOME/big bs=1M count=400; sleep 5`, -1, "disk"},
		{"files", nil, `python3 -c 'import os
fds=[]
try:
    for i in range(2000000): fds.append(os.open("/dev/null",0))
except OSError as e: print("stopped", e.errno)'`, -1, ""},
		{"time", []string{"--time", "2s"}, `while :; do :; done`, 124, "time"},
		{"time, signals ignored", []string{"--time", "2s"}, `trap '' TERM INT HUP; while :; do sleep 1; done`, 124, "time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			stop := watchLoop(t)
			r := w.trySh(c.line, c.flags...)
			if worst := stop(); worst > 2*time.Second {
				t.Errorf("the host waited %v", worst)
			}
			if c.status >= 0 && r.status != c.status {
				t.Errorf("status %d, want %d\n%s\n%s", r.status, c.status, r.out, r.errout)
			}
			if c.named == "" {
				return
			}
			errors := 0
			for _, l := range strings.Split(r.errout, "\n") {
				if strings.HasPrefix(l, "belljar: error: ") && strings.Contains(l, c.named) {
					errors++
				}
			}
			if errors != 1 {
				t.Errorf("%d error lines name %s, want 1:\n%s\n%s", errors, c.named, r.out, r.errout)
			}
			mustContain(t, "log", w.belljar("log", "--kind", "limit").out, c.named)
		})
	}
}

// watchLoop measures the longest pause of a loop that asks for the processor
// fifty times a second.
func watchLoop(t *testing.T) func() time.Duration {
	t.Helper()
	done, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		var max time.Duration
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-tick.C:
				if d := time.Since(last); d > max {
					max = d
				}
				last = time.Now()
			case <-done:
				worst <- max
				return
			}
		}
	}()
	return func() time.Duration { close(done); return <-worst }
}

// TestLogFlood: a flood of events neither grows without bound nor loses an exec.
func TestLogFlood(t *testing.T) {
	w := newWorld(t)
	if !ownKernel() {
		t.Skip("the tier declares that it records the commands that belljar starts only")
	}
	want := rounds(100, 5000)
	w.sh(fmt.Sprintf("mkdir d; for i in $(seq %d); do /bin/true $i; echo x > d/$i; done", want))
	out := w.belljar("log", "--kind", "exec").out
	if n := strings.Count(out, "/true"); n < want {
		t.Errorf("%d of %d executions are on record", n, want)
	}
	if r := w.belljar("log", "verify"); r.status != 0 {
		t.Errorf("log verify: %s%s", r.out, r.errout)
	}
}
