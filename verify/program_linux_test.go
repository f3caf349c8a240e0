package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/verify"
)

// build builds belljar once per test that needs it.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	testenv.Program()
	if p := os.Getenv("BELLJAR"); p != "" && len(flags) == 0 {
		return p
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755) // as root the sandbox identity executes it
	}
	p := filepath.Join(dir, "belljar")
	c := exec.Command("go", append(append([]string{"build", "-ldflags", "-s -w"}, flags...), "-o", p, "../cmd/belljar")...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func command(ctx context.Context, t *testing.T, program string, env []string, args ...string) *exec.Cmd {
	home := t.TempDir()
	c := exec.CommandContext(ctx, program, append([]string{"verify"}, args...)...)
	c.Dir = home
	c.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TERM=xterm"}, env...)
	return c
}

func run(t *testing.T, program string, env []string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := command(ctx, t, program, env, args...)
	var errout bytes.Buffer
	c.Stderr = &errout
	out, err := c.Output()
	if errout.Len() > 0 {
		t.Logf("%s", errout.String())
	}
	return out, err
}

// tiers are those that can be used here.
func tiers(t *testing.T, program string) []string {
	t.Helper()
	c := exec.Command(program, "doctor", "--json")
	c.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, _ := c.Output()
	var d struct{ Tiers []belljar.Capabilities }
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var usable []string
	for _, c := range d.Tiers {
		if c.Usable {
			usable = append(usable, c.Tier)
		}
	}
	return usable
}

// TestVerify: a few rows of every kind in every tier, two at once, in all formats.
func TestVerify(t *testing.T) {
	testenv.Need(t, "fuse", "userns", "netns", "git")
	program := build(t)
	const rows = "reads/ssh-key,reads/dotenv,reads/environment,writes/mcp,git/hook,git/bare,network/name,network/raw-ip,network/guard-private,sockets/docker,process/see,works/write,works/allowed-http,works/allowed-tls,works/commit,terminal/clipboard,credentials/environment,credentials/elsewhere,works/credential"
	for _, tier := range tiers(t, program) {
		t.Run(tier, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, program, nil, "--json", "--tier", tier, "--only", rows)
			var r verify.Report
			if jerr := json.Unmarshal(out, &r); jerr != nil || err != nil {
				t.Fatalf("%v: %v: %s", err, jerr, out)
			}
			if r.Tier != tier || r.Failed != 0 || r.Passed != strings.Count(rows, ",")+1 {
				t.Errorf("%s", out)
			}
		})
	}
	t.Run("no sandbox", func(t *testing.T) {
		t.Parallel()
		out, err := run(t, program, nil, "--junit", "--command", "env", "--only", rows)
		var ee *exec.ExitError
		if !errors.As(err, &ee) || ee.ExitCode() != 1 || strings.Count(string(out), "<failure ") != 14 {
			t.Errorf("%v: %s", err, out)
		}
	})
	if out, err := run(t, program, nil, "--only", "no/such"); err == nil {
		t.Errorf("an unknown row is accepted: %s", out)
	}
}

// TestKilled: nothing is left of a verify that is killed.
func TestKilled(t *testing.T) {
	testenv.Need(t, "fuse", "userns", "netns", "git")
	program := build(t)
	mark := "VERIFY_TEST_MARK=" + filepath.Base(t.TempDir()) + t.Name()
	c := command(t.Context(), t, program, []string{mark}, "--only", "limits/time,works/write")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the worlds are there", func() bool { return len(testenv.Children(c.Process.Pid)) >= 2 })
	left := testenv.Children(c.Process.Pid)
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	waitUntil(t, "the worlds are gone", func() bool {
		for _, pid := range left {
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
				return false
			}
		}
		return true
	})
	home, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range home {
		if e.Name() != ".local" { // belljar's own state folder, empty
			t.Errorf("%s is left in HOME", e.Name())
		}
	}
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(5 * time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in five minutes: %s", what)
		}
	}
}

// TestNothingOfAblation: the program that is released cannot switch anything off.
func TestNothingOfAblation(t *testing.T) {
	b, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("BELLJAR_ABLATE")) {
		t.Error("the program knows the variable that switches layers off")
	}
}
