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

// writes is what the killed command does: it replaces f and the larger big, each whole,
// appends to log, and writes what is held.
const writes = `echo ready; i=0; b=0123456789abcdef; for n in 1 2 3 4 5 6 7 8 9 10; do b=$b$b; done
	while :; do i=$((i+1)); echo $i > f.new && mv f.new f; echo "$i$b$i" > big.new && mv big.new big; echo $i >> log; echo $i > .envrc; echo $i; done`

// killOne starts a command that writes without end, kills the round-th process
// of ours, looks at what is left and returns the name of the process.
func killOne(t *testing.T, round int) string {
	w := newWorld(t)
	w.host("git", "init", "-q")
	outside := w.outside()
	c := w.cmd(context.Background(), "run", "--mode", "live", "--", "sh", "-c", writes)
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
	if got := w.outside(); got != outside {
		t.Errorf("%s killed: outside of the project:\n%s\nbefore:\n%s", name, got, outside)
	}
	if r := w.trySh("touch log; cat log > again"); r.status != 0 || w.read("again") != w.read("log") {
		t.Errorf("%s killed: the next run: status %d\n%s", name, r.status, r.errout)
	}
	return name
}

// outside describes what lies beside the project, but belljar's own state.
func (w *world) outside() string {
	return w.host("sh", "-c", `cd .. && find . \( -path ./proj -o -path ./.local/state/belljar \) -prune -o -type f -printf '%p %m %s %T@ ' -exec cksum {} \; | sort`)
}

// wantWhole wants every file of the command writes to be what one of its steps left.
func wantWhole(t *testing.T, w *world, name string) {
	t.Helper()
	last := 0
	if b, err := os.ReadFile(filepath.Join(w.proj, "f")); err == nil {
		if last, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			t.Errorf("%s killed: f is mixed: %q", name, b)
		}
	}
	if b, err := os.ReadFile(filepath.Join(w.proj, "big")); err == nil {
		if i, err := strconv.Atoi(bigNumber(b)); err != nil || i != last && i != last-1 {
			t.Errorf("%s killed: big is mixed or lost: %d bytes, %.20q, f is %d", name, len(b), b, last)
		}
	}
	b, _ := os.ReadFile(filepath.Join(w.proj, "log"))
	lines := strings.SplitAfter(string(b), "\n")
	for i, l := range lines[:len(lines)-1] {
		if l != fmt.Sprintf("%d\n", i+1) {
			t.Fatalf("%s killed: line %d of log is %q", name, i+1, l)
		}
	}
	if n := len(lines) - 1; lines[n] != "" || n != last && n != last-1 {
		t.Errorf("%s killed: log ends with line %d %q, f is %d", name, n, lines[n], last)
	}
}

// bigNumber is the number before and after the middle of big, or no number.
func bigNumber(b []byte) string {
	middle := strings.Repeat("0123456789abcdef", 1<<10)
	before, after, ok := strings.Cut(strings.TrimSuffix(string(b), "\n"), middle)
	if !ok || before != after || !strings.HasSuffix(string(b), "\n") {
		return ""
	}
	return before
}

// afterKill: no file lost or mixed, no litter, the chain verifies, and the next
// command says what happened.
func afterKill(t *testing.T, w *world, name string, supervisor bool) {
	wantWhole(t, w, name)
	entries, _ := os.ReadDir(w.proj)
	for _, e := range entries {
		switch e.Name() {
		case ".git", ".env", "README", "f", "f.new", "big", "big.new", "log":
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
