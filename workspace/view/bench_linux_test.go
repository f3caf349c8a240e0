package view

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// loads are the workloads of the design's table, as shell scripts that are run in
// the project.
var loads = []struct {
	name, script string
	rounds       int
}{
	{"git status", `git status >/dev/null`, 9},
	{"grep -r", `grep -rq nothing-like-that . || true`, 9},
	{"create 1000", `rm -rf new; mkdir new; cd new; i=0; while [ $i -lt 1000 ]; do echo $i > f$i; i=$((i+1)); done`, 3},
	{"overwrite 1000", `cd new; i=0; while [ $i -lt 1000 ]; do echo $i > f$i; i=$((i+1)); done`, 5},
	{"append 5000 x 4 KiB", `rm -f big; dd if=/dev/zero of=big bs=4k count=5000 status=none`, 5},
	{"git add, commit 200", `mkdir -p c; i=0; while [ $i -lt 200 ]; do date +%N > c/$i; i=$((i+1)); done; git add -A c; git commit -qm c`, 3},
	{"go-like copy", `rm -rf copy; cp -r src copy`, 3},
}

// TestLoads prints medians of the same work on the host and in the view, done in
// turn, and their ratio. It runs when BELLJAR_BENCH is set.
func TestLoads(t *testing.T) {
	if os.Getenv("BELLJAR_BENCH") == "" {
		t.Skip("set BELLJAR_BENCH to measure")
	}
	testenv.Need(t, "git")
	w := newWorld(t, worldOptions{disk: 10 << 30, seed: func(h string) {
		for i := range 2400 {
			write(t, fmt.Sprintf("%s/src/p%d/q%d/file%d.go", h, i%40, i%7, i), strings.Repeat("package p // some line\n", 1+i%60))
		}
		(&world{t: t, host: h}).onHost(`git init -q -b main . && git add -A && git commit -qm first && git config core.fsync none`)
	}})
	host := newWorld(t, worldOptions{seed: func(h string) {
		(&world{t: t, host: h}).onHost(`cp -a ` + w.host + `/. .; git status >/dev/null`)
	}})
	for _, l := range loads {
		var bare, view []float64
		for range l.rounds {
			bare = append(bare, host.timed(l.script, "/bin/sh", host.host))
			view = append(view, w.timed(l.script, "/bin/sh", w.inside))
		}
		first := view[0]
		sort.Float64s(bare)
		sort.Float64s(view)
		b, v := bare[len(bare)/2], view[len(view)/2]
		fmt.Printf("%-22s host %7.1f ms  view %7.1f ms  %5.2fx  (first in the view %.1f)\n", l.name, b, v, v/b, first)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.server.process.Pid)); err == nil {
		for _, l := range strings.Split(string(b), "\n") {
			if strings.HasPrefix(l, "VmRSS") || strings.HasPrefix(l, "Threads") || strings.HasPrefix(l, "RssAnon") {
				fmt.Println(l)
			}
		}
	}
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.server.process.Pid)); err == nil {
		fmt.Println("descriptors", strconv.Itoa(len(fds)))
	}
}

// timed runs a script inside, in dir, and gives its milliseconds as it saw them.
func (w *world) timed(script, shell, dir string) float64 {
	w.t.Helper()
	start := time.Now()
	out, err := w.run(shell, "-ec", "cd "+dir+"; "+script)
	if err != nil {
		w.t.Fatalf("%s: %v %s", script, err, out)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}
