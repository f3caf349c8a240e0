package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestAhead: helpers that were started before the command line was understood are gone
// when nothing is run, whatever the reason, and when the run is killed at once.
func TestAhead(t *testing.T) {
	w := newWorld(t)
	program := ownBinary(t)
	for _, args := range [][]string{
		{"run"},
		{"run", "--nonsense", "--", "true"},
		{"run", "--help"},
		{"run", "--policy", "/nowhere", "--", "true"},
		{"run", "--workspace", "/", "--", "true"},
		{"run", "--", "/no/such/command"},
		{"run", "--name", "NOT-A-NAME", "--", "true"},
		{"run", "true", "--tier", "native"},
	} {
		c := w.cmd(t.Context(), args...)
		c.Path, c.Args[0] = program, program
		out, _ := c.CombinedOutput()
		gone(t, program, args)
		if len(out) == 0 && args[1] != "true" {
			t.Errorf("%q said nothing", args)
		}
	}
	// Where the command line says two things, the run takes one of them.
	c := w.cmd(t.Context(), "run", "--tier", "gvisor", "sh", "-c", "echo ready; read x", "--tier", "native")
	c.Path, c.Args[0] = program, program
	in, out := startReady(t, c)
	until(t, "a first process that is not needed is left", func() bool {
		return !slices.ContainsFunc(ours(program), func(pid int) bool { return role(pid) == "belljar-init" })
	})
	in.Close()
	_ = readUntil(t, out, "")
	_ = c.Wait()
	testenv.Need(t, "user") // root's helpers are another process's
	for range rounds(5, 100) {
		c := w.cmd(context.Background(), "run", "--", "true")
		c.Path, c.Args[0] = program, program
		c.Stdout, c.Stderr = io.Discard, io.Discard
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var helpers []int // also those that hide which program they run
		until(t, "no helper was started ahead", func() bool {
			helpers = testenv.Descendants(c.Process.Pid)
			return len(helpers) > 0
		})
		_ = c.Process.Kill()
		_ = c.Wait()
		gone(t, program, c.Args)
		until(t, "helpers are left", func() bool {
			return !slices.ContainsFunc(helpers, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
		})
	}
}

// ownBinary is a copy of belljar, so that its processes can be told from others'.
func ownBinary(t *testing.T) string {
	dir := shortTemp(t)
	if err := os.Chmod(dir, 0o755); err != nil { // the sandbox identity executes it
		t.Fatal(err)
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "belljar")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// ours are the processes that run program. One that is confined hides which that is, but
// the supervisor was started by that name.
func ours(program string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		exe, err := os.Readlink(l)
		if errors.Is(err, os.ErrPermission) {
			argv, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "cmdline"))
			name, _, _ := strings.Cut(string(argv), "\x00")
			exe, err = name, nil
		}
		if err == nil && exe == program {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(l)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func gone(t *testing.T, program string, args []string) {
	t.Helper()
	until(t, "processes are left", func() bool { return len(ours(program)) == 0 })
	if t.Failed() {
		for _, p := range ours(program) {
			t.Logf("%q: %d %s", args, p, cmdline(p))
		}
	}
}

// until waits for what is to come.
func until(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(hangs)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(otherwise)
		}
	}
}
