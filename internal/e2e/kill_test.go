package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func rounds(ci, soak int) int {
	if os.Getenv("BELLJAR_SOAK") != "" {
		return soak
	}
	return ci
}

// role is the name that a process of ours goes by.
func role(pid int) string { return filepath.Base(strings.SplitN(cmdline(pid), " ", 2)[0]) }

func cmdline(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(b), "\x00", " ")
}

// TestKill: kill -9 of any process of ours, at any moment, under load, for a
// user two sandboxes at once. Root and user together see each process of the tier with
// five killed ten times; the tier with three sees each five times.
func TestKill(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	t.Run("rounds", func(t *testing.T) {
		ci := 25
		if !ownKernel() {
			ci = 15
		}
		for round := range rounds(ci, 600) {
			t.Run(strconv.Itoa(round), func(t *testing.T) {
				if os.Geteuid() != 0 {
					t.Parallel() // root has one state: the other round's command would tell of this one's end
				}
				name := killOne(t, round)
				mu.Lock()
				defer mu.Unlock()
				seen[name]++
			})
		}
	})
	t.Logf("killed: %v", seen)
	least := 3 // the supervisor, the view, what starts the sandbox
	if ownKernel() {
		least = 5 // and the kernel's two
	}
	if !t.Failed() && len(seen) < least {
		t.Errorf("only %v were killed", seen)
	}
}

// killOne starts a command that writes without end, kills the round-th process
// of ours, looks at what is left and returns the name of the process.
func killOne(t *testing.T, round int) string {
	w := newWorld(t)
	w.host("git", "init", "-q")
	c := w.cmd(context.Background(), "run", "--", "sh", "-c", "echo ready; i=0; while :; do i=$((i+1)); echo $i > f.new && mv f.new f; echo $i > .envrc; echo $i; done")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "ready\n")
	all := append([]int{c.Process.Pid}, testenv.Descendants(c.Process.Pid)...)
	ours := slices.DeleteFunc(slices.Clone(all), func(p int) bool { return p != c.Process.Pid && !strings.HasPrefix(role(p), "belljar-") })
	slices.SortFunc(ours, func(a, b int) int { return strings.Compare(role(a), role(b)) }) // numbers come in any order
	victim := ours[round%len(ours)]
	name := role(victim)
	buf := make([]byte, 64)
	for range rand.IntN(100) { // a random number of writes later
		if _, err := out.Read(buf); err != nil {
			break
		}
	}
	_ = syscall.Kill(victim, syscall.SIGKILL) // it may have ended by itself: a helper
	rest := readUntil(t, out, "")
	if err := c.Wait(); err == nil {
		t.Errorf("%s killed, and the run succeeded (%q)", name, rest)
	}
	waitGone(t, all, name)
	afterKill(t, w, name, victim == c.Process.Pid)
	return name
}

// afterKill: no file lost or mixed, no litter, the chain verifies, and the next
// command says what happened.
func afterKill(t *testing.T, w *world, name string, supervisor bool) {
	if b, err := os.ReadFile(filepath.Join(w.proj, "f")); err == nil {
		if _, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			t.Errorf("f is mixed: %q", b)
		}
	}
	entries, _ := os.ReadDir(w.proj)
	for _, e := range entries {
		switch e.Name() {
		case ".git", ".env", "README", "f", "f.new":
		default:
			t.Errorf("litter %s", e.Name())
		}
	}
	next := w.belljar("diff")
	if supervisor {
		mustContain(t, "the next command", next.errout, "killed")
	}
	if r := w.belljar("log", "verify"); r.status != 0 || !strings.Contains(r.out, "the chain holds") {
		t.Errorf("%s killed: log verify: %s%s", name, r.out, r.errout)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(w.home), "run/belljar/*"))
	left = slices.DeleteFunc(left, func(p string) bool { return filepath.Base(p) == "heads" }) // the witness of the record
	if len(left) > 0 && os.Geteuid() != 0 {
		t.Errorf("left in the runtime folder: %v", left)
	}
}

// waitGone waits until none of the processes exists any more.
func waitGone(t *testing.T, pids []int, killed string) {
	t.Helper()
	deadline := time.Now().Add(hangs)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, p := range pids {
		for syscall.Kill(p, 0) == nil && !zombie(p) {
			if time.Now().After(deadline) {
				t.Errorf("after %s was killed, process %d is still there: %s", killed, p, cmdline(p))
				_ = syscall.Kill(p, syscall.SIGKILL)
				break
			}
			<-tick.C
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}

// TestStarts: start after start, none fails.
func TestStarts(t *testing.T) {
	w := newWorld(t)
	for i := range rounds(20, 10000) {
		if r := w.belljar("run", "--", "true"); r.status != 0 {
			t.Fatalf("start %d: status %d\n%s", i, r.status, r.errout)
		}
	}
}
