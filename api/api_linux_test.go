package api

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestMain is also the process of another user namespace.
func TestMain(m *testing.M) {
	if at := os.Getenv("BELLJAR_TEST_SPEAK"); at != "" {
		c, err := net.Dial("unix", at)
		if err != nil {
			os.Exit(3)
		}
		_, _ = io.WriteString(c, "GET /v1/questions HTTP/1.0\r\n\r\n")
		b, _ := io.ReadAll(c)
		_, _ = os.Stdout.Write(b)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// desk is a sandbox of the test.
type desk struct {
	mu     sync.Mutex
	heard  []approval.Answer
	rules  []belljar.NetRule
	procs  []*hostProcess
	graces []time.Duration
	script *script
}

func (d *desk) Questions(context.Context) ([]approval.Question, error) {
	return []approval.Question{{ID: "7", Subject: approval.Subject{Host: "a.example", Port: 443}, Note: "\x1b[31m"}}, nil
}

func (d *desk) Answer(_ context.Context, id string, a approval.Answer) (Granted, error) {
	if id != "7" {
		return Granted{}, &belljar.Error{Op: "answer", ID: id, Kind: belljar.KindNoSuch, Err: approval.ErrNone, Hint: "look again"}
	}
	d.mu.Lock()
	d.heard = append(d.heard, a)
	d.mu.Unlock()
	return Granted{Allowed: a.Allow, Scope: a.Scope}, nil
}

func (d *desk) Allow(_ context.Context, r belljar.NetRule, by string) error {
	if by == "" || r.Host == "" {
		return errors.New("nobody, or nothing")
	}
	d.mu.Lock()
	d.rules = append(d.rules, r)
	d.mu.Unlock()
	return nil
}

// serve serves d in a folder with a long name.
func serve(t *testing.T, d *desk) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := Dial("box", dir).Questions(context.WithoutCancel(ctx)); belljar.KindOf(err) != belljar.KindNoSuch {
			t.Errorf("after the end: %v", err)
		}
	})
	return dir
}

// TestControl: what is said arrives, with who said it; errors keep kind and hint.
func TestControl(t *testing.T) {
	d := &desk{}
	dir := serve(t, d)
	if fi, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	c := Dial("box", dir)
	l, err := c.Questions(t.Context())
	if err != nil || len(l) != 1 || l[0].ID != "7" || l[0].Note != "\x1b[31m" {
		t.Fatalf("%+v %v", l, err)
	}
	g, err := c.Answer(t.Context(), "7", approval.Answer{Allow: true, Scope: approval.Sandbox, By: "somebody else"})
	if err != nil || !g.Allowed || !strings.HasPrefix(d.heard[0].By, "uid ") {
		t.Errorf("%+v %v %+v", g, err, d.heard)
	}
	_, err = c.Answer(t.Context(), "../rules", approval.Answer{})
	if belljar.KindOf(err) != belljar.KindNoSuch || belljar.HintOf(err) != "look again" {
		t.Errorf("%v", err)
	}
	if _, err := c.Answer(t.Context(), "7", approval.Answer{Scope: "for ever"}); belljar.KindOf(err) != belljar.KindUsage {
		t.Errorf("%v", err)
	}
	if err := c.Allow(t.Context(), belljar.NetRule{Host: "b.example", Ports: []uint16{443}}, ""); err != nil || len(d.rules) != 1 {
		t.Errorf("%v", err)
	}
	if err := c.Allow(t.Context(), belljar.NetRule{Host: strings.Repeat("x", maxBody)}, ""); belljar.KindOf(err) != belljar.KindUsage {
		t.Errorf("%v", err)
	}
}

// TestOtherNamespace: a process with our uid in another user namespace is not heard.
func TestOtherNamespace(t *testing.T) {
	testenv.Need(t, "userns")
	dir := serve(t, &desk{})
	speak := func(attr *syscall.SysProcAttr) string {
		ctx, cancel := context.WithTimeout(t.Context(), hangs)
		defer cancel()
		c := exec.CommandContext(ctx, "/proc/self/exe")
		c.SysProcAttr = attr
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		c.ExtraFiles = []*os.File{d} // 3
		c.Env = []string{"BELLJAR_TEST_SPEAK=/proc/self/fd/3/" + SocketName}
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if s := speak(nil); !strings.Contains(s, "a.example") {
		t.Errorf("our own process: %q", s)
	}
	id := []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	gid := []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	if s := speak(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: gid}); s != "" {
		t.Errorf("another namespace was heard: %q", s)
	}
}
