package backendtest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

var limitCases = []tcase{
	{name: "limit/processes", why: "a fork bomb stops at its limit", plan: func(p *belljar.Plan) { p.Limits.Processes = 24 }, run: limitProcesses},
	{name: "limit/files", why: "descriptors are bounded", plan: func(p *belljar.Plan) { p.Limits.Files = 32 }, run: func(t *testing.T, s *box) {
		s.want("ulimit -n", "32")
		s.fails("ulimit -n 64")
	}},
	{name: "limit/cpus", why: "the number of processors is the plan's", plan: func(p *belljar.Plan) { p.Limits.CPUs = 1 }, run: func(t *testing.T, s *box) { s.want("nproc", "1") }},
	{name: "limit/memory-shown", why: "programs that size themselves by the machine's memory see the limit", plan: func(p *belljar.Plan) { p.Limits.Memory = 300 << 20 }, run: memoryShown},
	{name: "usage/memory", why: "anonymous memory is counted", own: true, need: []string{"python3"}, run: func(t *testing.T, s *box) {
		usageGrows(t, s, "python3 -c 'import sys\nb=bytearray(40<<20)\nfor i in range(0,len(b),4096): b[i]=1\nprint(\"ready\",flush=True); sys.stdin.read()\nimport time; time.sleep(1000)'")
	}},
	{name: "usage/tmpfs", why: "files in memory are counted", own: true, run: func(t *testing.T, s *box) {
		usageGrows(t, s, "head -c 41943040 /dev/zero | tr '\\0' x > /tmp/big; echo ready; exec sleep 1000")
	}},
	{name: "usage/memfd", why: "memory files are counted", own: true, need: []string{"python3"}, run: func(t *testing.T, s *box) {
		usageGrows(t, s, "python3 -c 'import os,time\nf=os.memfd_create(\"x\")\nfor i in range(40): os.write(f,b\"x\"*(1<<20))\nprint(\"ready\",flush=True); time.sleep(1000)'")
	}},
	{name: "usage/cpu", why: "processor time is counted", own: true, run: usageCPU},
	{name: "usage/processes", why: "processes are counted, or said to be unknown", own: true, run: usageProcesses},
	{name: "usage/cheap", why: "usage is read fifty times a second", own: true, run: usageCheap},
}

func limitProcesses(t *testing.T, s *box) {
	r := s.sh("i=0; while [ $i -lt 60 ]; do sleep 600 >/dev/null 2>&1 & i=$((i+1)); done 2>&1; kill $(jobs -p) 2>/dev/null; true")
	if !strings.Contains(strings.ToLower(r.out+r.err), "fork") {
		t.Errorf("60 processes started under a limit of 24: %s", r)
	}
}

func memoryShown(t *testing.T, s *box) {
	r := s.sh("grep MemTotal /proc/meminfo")
	f := strings.Fields(r.out)
	if len(f) < 2 {
		t.Fatalf("%s", r)
	}
	if kb, err := strconv.Atoi(f[1]); err != nil || kb > 310<<10 || kb < 200<<10 {
		t.Errorf("MemTotal is %s kB, the limit 300 MiB", f[1])
	}
}

func (s *box) usage() belljar.Usage {
	s.t.Helper()
	u, err := s.in.Usage(s.t.Context())
	if err != nil {
		s.t.Fatalf("usage: %v", err)
	}
	return u
}

func usageGrows(t *testing.T, s *box, script string) {
	before := s.usage().Memory
	p, _ := s.background(script)
	if grown := s.usage().Memory - before; grown < 38<<20 || grown > 120<<20 {
		t.Errorf("usage grew by %d bytes after 40 MiB were written", grown)
	}
	_ = p.Signal(9)
	s.waitFor(p)
}

// usageCPU: a loop is counted, also when nobody looked while it ran. It takes most of
// a second, a start much less than what is asked for here.
func usageCPU(t *testing.T, s *box) {
	const some = 300 * time.Millisecond
	deadline := time.Now().Add(patience)
	before := s.usage().CPU // what the start took, which may be less than a tick of the clock
	s.sh("i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done")
	for s.usage().CPU-before < some {
		if time.Now().After(deadline) {
			t.Fatalf("a busy loop used %s", s.usage().CPU-before)
		}
	}
}

func usageProcesses(t *testing.T, s *box) {
	p, _ := s.background("sleep 1000 & sleep 1000 & sleep 1000 & echo ready; wait")
	deadline := time.Now().Add(patience)
	for s.usage().Processes < 5 { // these four and the first command
		if time.Now().After(deadline) {
			t.Errorf("%d processes are counted, five run", s.usage().Processes)
			break
		}
	}
	_ = p.Signal(9)
	s.waitFor(p)
}

func usageCheap(t *testing.T, s *box) {
	const bound = 50 * time.Millisecond
	best := time.Hour
	for late := time.Now().Add(patience); best > bound && time.Now().Before(late); { // others use this machine too
		start := time.Now()
		for range 5 {
			s.usage()
		}
		best = min(best, time.Since(start))
	}
	if best > bound {
		t.Errorf("the fastest five calls took %s", best)
	}
}
