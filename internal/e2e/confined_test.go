package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestConfinedSupervisor: a supervisor that somebody took over can do nothing with it. The
// program is a test build, which tries it from within; without the layer all of it works.
func TestConfinedSupervisor(t *testing.T) {
	testenv.Need(t, "user") // what is attacked belongs to the same user
	ordinary := binary
	binary = ablationBuild(t)
	defer func() { binary = ordinary }()
	for _, off := range []bool{false, true} {
		want := "stopped"
		if off {
			want = "through"
		}
		results := attackSupervisor(t, off)
		if len(results) < 20 {
			t.Fatalf("%d attacks: %v", len(results), results)
		}
		for name, got := range results {
			if got != want && got != "absent" {
				t.Errorf("ablated %v: %s: %s", off, name, got)
			}
		}
	}
}

// TestConfinedHelpers: every process of ours beside the supervisor has a filter of system
// calls too.
func TestConfinedHelpers(t *testing.T) {
	w := newWorld(t)
	c := w.cmd(t.Context(), "run", "--", "sh", "-c", "echo ready; read x")
	in, _ := startReady(t, c)
	views := 0
	for _, pid := range testenv.Descendants(c.Process.Pid) {
		argv, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		name, _, _ := strings.Cut(string(argv), "\x00")
		if name == "belljar-view" {
			views++
		}
		if strings.HasPrefix(name, "belljar-") && !filtered(pid) {
			t.Errorf("%s has no filter", name)
		}
	}
	if views != 1 {
		t.Errorf("%d servers of files", views)
	}
	in.Close()
	_ = c.Wait() // read fails at the end of its input
}

// filtered waits until a process has a filter, which it installs while the command starts,
// or has ended.
func filtered(pid int) bool {
	for deadline := time.Now().Add(hangs); time.Now().Before(deadline); {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil || strings.Contains(string(status), "\nSeccomp:\t2\n") {
			return true
		}
	}
	return false
}

// ablationBuild is the program as a test build; BELLJAR_ABLATION names one that is there.
func ablationBuild(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("BELLJAR_ABLATION"); p != "" {
		return p
	}
	program := filepath.Join(shortTemp(t), "belljar")
	c := exec.Command("go", "build", "-tags", "ablation", "-ldflags", "-s -w", "-o", program, "../../cmd/belljar")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// attackSupervisor runs something while the supervisor attacks, and says what came of it.
func attackSupervisor(t *testing.T, off bool) map[string]string {
	t.Helper()
	w := newWorld(t)
	victim := exec.Command("sleep", "1000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	name := "@belljar-test-" + strconv.Itoa(victim.Process.Pid)
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.env = append(w.env, "BELLJAR_CONFINE_ATTACK="+filepath.Join(w.home, ".ssh/id_rsa"),
		"BELLJAR_CONFINE_PROCESS="+strconv.Itoa(victim.Process.Pid), "BELLJAR_CONFINE_SOCKET="+name)
	if off {
		w.env = append(w.env, "BELLJAR_ABLATE="+ablate.Supervisor)
	}
	r := w.trySh("echo inside; echo x > made; cat README")
	if r.status != 0 || r.out != "inside\nhello\n" {
		t.Fatalf("the run: %+v", r)
	}
	results := map[string]string{}
	for line := range strings.Lines(r.errout) {
		if rest, ok := strings.CutPrefix(line, "attack "); ok {
			name, result, _ := strings.Cut(strings.TrimSpace(rest), ": ")
			results[name] = result
		}
	}
	return results
}
