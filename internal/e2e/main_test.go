package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// binary is the program under test. tier is the one that its runs ask for, empty
// for what it picks by itself: BELLJAR_TEST_TIER sets it.
var (
	binary string
	tier   = os.Getenv("BELLJAR_TEST_TIER")
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	dir, err := os.MkdirTemp("", "belljar-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = os.Getenv("BELLJAR")
	if binary == "" {
		binary = filepath.Join(dir, "belljar")
		c := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "../../cmd/belljar")
		c.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile and releases
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build belljar: %v\n%s", err, out)
			os.Exit(1)
		}
	}
	_ = os.Chmod(dir, 0o755) // as root the sandbox identity executes it
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 5 * time.Minute

// ownKernel says whether the tier under test brings a kernel of its own.
func ownKernel() bool { return tier == "" || tier == "gvisor" }

// A world is a home with planted secrets and a project, of one test.
type world struct {
	t    *testing.T
	home string
	proj string
	env  []string
}

const (
	homeSecret    = "SECRET-OF-HOME-7c1f"
	projectSecret = "SECRET-OF-PROJECT-2b9d"
	envSecret     = "SECRET-OF-ENVIRONMENT-51aa"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Program()
	testenv.Need(t, "fuse", "userns")
	dir := shortTemp(t)
	w := &world{t: t, home: filepath.Join(dir, "home"), proj: filepath.Join(dir, "home", "proj")}
	for _, p := range []string{".ssh/id_rsa", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".claude/.credentials.json", ".npmrc"} {
		w.write(filepath.Join(w.home, p), homeSecret)
	}
	w.write(filepath.Join(w.proj, ".env"), "KEY="+projectSecret)
	w.write(filepath.Join(w.proj, "README"), "hello\n")
	w.env = []string{
		"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=xterm-256color",
		"AWS_SECRET_ACCESS_KEY=" + envSecret, "GITHUB_TOKEN=" + envSecret,
		"XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"),
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

// shortTemp is a temporary folder with a short path: socket names have a limit.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bj")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	return dir
}

func (w *world) write(path, content string) {
	w.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.proj, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.proj, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(w.proj, path))
	return err == nil
}

// A result is what one invocation printed and how it ended.
type result struct {
	status      int
	out, errout string
}

// cmd prepares an invocation in the project.
func (w *world) cmd(ctx context.Context, args ...string) *exec.Cmd {
	if tier != "" && len(args) > 1 && args[0] == "run" && args[1] != "--tier" {
		args = append([]string{"run", "--tier", tier}, args[1:]...)
	}
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = w.proj
	c.Env = w.env
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGABRT) } // says where it waits, and ends
	c.WaitDelay = time.Minute
	return c
}

// belljar runs one command line to its end.
func (w *world) belljar(args ...string) result { return w.belljarIn("", args...) }

func (w *world) belljarIn(stdin string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	c := w.cmd(ctx, args...)
	var out, errout bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errout
	err := c.Run()
	if ctx.Err() != nil {
		w.t.Fatalf("belljar %q did not end\n%s\n%s", args, out.String(), errout.String())
	}
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		w.t.Fatal(err)
	}
	r := result{out: out.String(), errout: errout.String(), status: c.ProcessState.ExitCode()}
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.status = 128 + int(ws.Signal())
	}
	return r
}

// startReady starts c with pipes and waits until it has printed "ready".
func startReady(t *testing.T, c *exec.Cmd) (in io.WriteCloser, out io.Reader) {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err = c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "ready\n")
	return in, out
}

// sh runs a shell line inside and wants it to succeed.
func (w *world) sh(line string, flags ...string) string {
	w.t.Helper()
	r := w.trySh(line, flags...)
	if r.status != 0 {
		w.t.Fatalf("inside: %s\nstatus %d\n%s\n%s", line, r.status, r.out, r.errout)
	}
	return r.out
}

// trySh runs a shell line inside.
func (w *world) trySh(line string, flags ...string) result {
	w.t.Helper()
	return w.belljar(append(append([]string{"run"}, flags...), "--", "sh", "-c", line)...)
}

// host runs a program on the host in the project, as a developer would.
func (w *world) host(name string, args ...string) string {
	w.t.Helper()
	c := exec.Command(name, args...)
	c.Dir = w.proj
	c.Env = append(w.env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func mustContain(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			t.Errorf("%s lacks %q:\n%s", what, s, text)
		}
	}
}

func mustLack(t *testing.T, what, text string, unwanted ...string) {
	t.Helper()
	for _, s := range unwanted {
		if strings.Contains(text, s) {
			t.Errorf("%s contains %q:\n%s", what, s, text)
		}
	}
}
