package backendtest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// patience bounds everything that a case waits for, on a machine that has ten other
// things to do as well.
const patience = 2 * time.Minute

// A box is one sandbox and what the suite knows of it.
type box struct {
	t       *testing.T
	b       belljar.Backend
	dir     string // on the host: everything of this box lies below it
	home    string
	project string
	scratch string
	plan    *belljar.Plan
	stays   bool
	exec    func(ctx context.Context, e *belljar.ExecEvent) string // nil: every program may run
	view    *view
	events  *recorder
	links   chan belljar.Link

	in    belljar.Instance
	init  belljar.Process
	stdin *os.File // of init: closing it ends the sandbox
}

const (
	insideHome    = "/home/agent"
	insideProject = "/home/agent/project"
)

func newBox(t *testing.T, b belljar.Backend) *box {
	t.Helper()
	s := &box{t: t, b: b, dir: t.TempDir(), events: &recorder{}, links: make(chan belljar.Link, 1)}
	for p, perm := range map[*string]os.FileMode{&s.home: 0o700, &s.project: 0o755, &s.scratch: 0o700} {
		d, err := os.MkdirTemp(s.dir, "d")
		if err == nil {
			err = os.Chmod(d, perm)
		}
		if err != nil {
			t.Fatal(err)
		}
		*p = d
	}
	s.plan = s.defaultPlan()
	return s
}

// with is the same box in another test.
func (s *box) with(t *testing.T) *box {
	c := *s
	c.t = t
	return &c
}

func (s *box) defaultPlan() *belljar.Plan {
	uid, gid := os.Geteuid(), os.Getegid()
	p := &belljar.Plan{
		ID: "test", Name: "test", Tier: s.b.Name(), Hostname: "jar",
		Identity: belljar.Identity{HostUID: uid, HostGID: gid, UID: uid, GID: gid, User: "agent", Home: insideHome, Shell: "/bin/sh"},
		Env:      []string{"HOME=" + insideHome, "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin", "TERM=xterm"},
		Limits:   belljar.Limits{Memory: 1 << 30, CPUs: 2, Processes: 256, Files: 1024, Disk: 1 << 30, Time: time.Hour},
		Workspace: belljar.Workspace{
			Dir: s.project, Mode: belljar.ModeLive,
		},
	}
	add := func(m belljar.Mount) { p.Mounts = append(p.Mounts, m) }
	add(belljar.Mount{Kind: belljar.MountBind, Source: "/usr", Target: "/usr", ReadOnly: true})
	for _, d := range []string{"bin", "lib", "lib32", "lib64", "sbin"} {
		if link, err := os.Readlink("/" + d); err == nil {
			add(belljar.Mount{Kind: belljar.MountSymlink, Target: "/" + d, Content: link})
		} else if _, err := os.Stat("/" + d); err == nil {
			add(belljar.Mount{Kind: belljar.MountBind, Source: "/" + d, Target: "/" + d, ReadOnly: true})
		}
	}
	add(belljar.Mount{Kind: belljar.MountFile, Target: "/etc/passwd", Content: "agent:x:" + itoa(uid) + ":" + itoa(gid) + "::" + insideHome + ":/bin/sh\n"})
	add(belljar.Mount{Kind: belljar.MountFile, Target: "/etc/secret-free", Content: "content\n", Perm: 0o400})
	add(belljar.Mount{Kind: belljar.MountDir, Target: "/opt/empty", Perm: 0o755})
	add(belljar.Mount{Kind: belljar.MountProc, Target: "/proc"})
	add(belljar.Mount{Kind: belljar.MountDev, Target: "/dev"})
	add(belljar.Mount{Kind: belljar.MountTmpfs, Target: "/dev/shm", Size: 32 << 20, Perm: 0o1777})
	add(belljar.Mount{Kind: belljar.MountTmpfs, Target: "/tmp", Size: 64 << 20, Perm: 0o1777})
	add(belljar.Mount{Kind: belljar.MountBind, Source: s.home, Target: insideHome, Private: true})
	add(belljar.Mount{Kind: belljar.MountBind, Source: s.project, Target: insideProject})
	p.Command = belljar.Exec{Path: "/bin/sh", Argv: []string{"/bin/sh", "-c", "read x; exit 0"}, Dir: "/"}
	return p
}

// useView replaces the project's bind by a view.
func (s *box) useView() {
	m := s.plan.Mounts
	s.plan.Mounts = m[:len(m)-1]
	s.plan.Workspace.Views = []belljar.View{{Source: s.project, Target: insideProject}}
	s.view = &view{t: s.t, source: s.project}
}

func (s *box) spec() *belljar.Spec {
	spec := &belljar.Spec{Plan: s.plan, Dir: s.scratch, Events: s.events}
	if s.view != nil {
		spec.View = s.view
	}
	spec.MayExec, spec.Stays = s.exec, s.stays
	spec.Attach = func(l belljar.Link) error {
		s.links <- l
		return nil
	}
	return spec
}

// start starts the sandbox, without a command.
func (s *box) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	in, err := s.b.Start(ctx, s.spec())
	if err != nil {
		s.t.Fatalf("start: %v", err)
	}
	s.in = in
	s.t.Cleanup(func() {
		if err := in.Close(); err != nil {
			s.t.Errorf("close: %v", err)
		}
		select {
		case l := <-s.links:
			l.File.Close()
		default:
		}
	})
}

// boot starts the sandbox with a first command that waits.
func (s *box) boot() {
	s.t.Helper()
	s.start()
	r, w := s.pipe()
	s.stdin = w
	s.t.Cleanup(func() { w.Close() })
	p, err := s.in.Start(s.t.Context(), &belljar.Command{Exec: s.plan.Command, Stdin: r})
	if err != nil {
		s.t.Fatalf("start the first command: %v", err)
	}
	s.init = p
}

func (s *box) pipe() (r, w *os.File) {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	return r, w
}

// A result is how a command went.
type result struct {
	out, err string
	status   belljar.ExitStatus
}

func (r result) String() string {
	return "stdout " + quote(r.out) + " stderr " + quote(r.err) + " status " + itoa(r.status.Status())
}

// run runs a command to its end.
func (s *box) run(stdin string, c belljar.Command) result {
	s.t.Helper()
	ir, iw := s.pipe()
	or, ow := s.pipe()
	er, ew := s.pipe()
	defer or.Close()
	defer er.Close()
	c.Stdin, c.Stdout, c.Stderr = ir, ow, ew
	if c.TTY {
		ew.Close()
		c.Stderr = nil
	}
	if c.Dir == "" {
		c.Dir = "/"
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	p, err := s.in.Start(ctx, &c)
	if err != nil {
		iw.Close()
		s.t.Fatalf("start %q: %v", c.Argv, err)
	}
	var out, errs bytes.Buffer
	var all sync.WaitGroup
	all.Go(func() { _, _ = io.Copy(&out, or) })
	all.Go(func() { _, _ = io.Copy(&errs, er) })
	all.Go(func() {
		_, _ = io.WriteString(iw, stdin)
		iw.Close()
	})
	st, err := p.Wait(ctx)
	if err != nil {
		_ = s.in.Close() // else the copies never end
		all.Wait()
		s.t.Fatalf("wait for %q: %v; stdout %q stderr %q", c.Argv, err, out.String(), errs.String())
	}
	all.Wait()
	return result{out.String(), errs.String(), st}
}

// sh runs a script of the shell.
func (s *box) sh(script string) result {
	s.t.Helper()
	return s.run("", shell(script))
}

func shell(script string) belljar.Command {
	return belljar.Command{Exec: belljar.Exec{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Dir: "/"}}
}

// want runs a script and compares its trimmed output.
func (s *box) want(script, out string) {
	s.t.Helper()
	r := s.sh(script)
	if got := strings.TrimSpace(r.out); got != out {
		s.t.Errorf("%q printed %q, want %q (%s)", script, got, out, r)
	}
}

// fails runs a script that must not succeed.
func (s *box) fails(script string) {
	s.t.Helper()
	if r := s.sh(script); r.status.Status() == 0 {
		s.t.Errorf("%q succeeded: %s", script, r)
	}
}

func (s *box) write(dir, name, content string) {
	s.t.Helper()
	f := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(f, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *box) read(dir, name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		s.t.Errorf("read on the host: %v", err)
	}
	return string(b)
}
