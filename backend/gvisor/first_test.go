package gvisor

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func TestMain(m *testing.M) {
	if Reexec(os.Args) {
		return
	}
	os.Exit(m.Run())
}

type printSink struct{ t *testing.T }

func (s printSink) Record(_ context.Context, e belljar.Event) error {
	if e.Exec != nil {
		s.t.Logf("exec %+v", *e.Exec)
	}
	if e.Exit != nil {
		s.t.Logf("exit %+v", *e.Exit)
	}
	return nil
}

func TestFirst(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	os.Mkdir(home, 0o700)
	scratch := filepath.Join(dir, "s")
	os.Mkdir(scratch, 0o700)
	argv := []string{"uname", "-r"}
	if a := os.Getenv("ARGV"); a != "" {
		argv = []string{"sh", "-c", a}
	}
	p := &belljar.Plan{
		Name: "x", Hostname: "box", Tier: Name,
		Identity: belljar.Identity{HostUID: os.Getuid(), HostGID: os.Getgid(), UID: os.Getuid(), GID: os.Getgid()},
		Command:  belljar.Exec{Path: "/usr/bin/" + argv[0], Argv: argv, Dir: "/"},
		Env:      []string{"PATH=/usr/bin:/bin", "HOME=/home/x"},
		Limits:   belljar.Limits{Memory: 1 << 30, CPUs: 2, Processes: 512, Files: 4096, Disk: 1 << 30, Time: time.Minute},
		Mounts: []belljar.Mount{
			{Kind: belljar.MountBind, Source: "/usr", Target: "/usr", ReadOnly: true},
			{Kind: belljar.MountSymlink, Content: "usr/bin", Target: "/bin"},
			{Kind: belljar.MountSymlink, Content: "usr/lib", Target: "/lib"},
			{Kind: belljar.MountSymlink, Content: "usr/lib64", Target: "/lib64"},
			{Kind: belljar.MountFile, Content: "x:x:1001:1001::/home/x:/bin/sh\n", Target: "/etc/passwd"},
			{Kind: belljar.MountProc, Target: "/proc"},
			{Kind: belljar.MountDev, Target: "/dev"},
			{Kind: belljar.MountTmpfs, Target: "/tmp", Size: 64 << 20, Perm: 0o1777},
			{Kind: belljar.MountBind, Source: home, Target: "/home/x", Private: true},
		},
	}
	t0 := time.Now()
	b := New(Options{DebugDir: os.Getenv("GVDEBUG")})
	in, err := b.Start(t.Context(), &belljar.Spec{Plan: p, Dir: scratch, Events: printSink{t}, Attach: func(l belljar.Link) error { t.Cleanup(func() { l.File.Close() }); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	t.Log("started", time.Since(t0))
	ir, iw, _ := os.Pipe()
	or, ow, _ := os.Pipe()
	er, ew, _ := os.Pipe()
	iw.WriteString("hello\n")
	iw.Close()
	pr, err := in.Start(t.Context(), &belljar.Command{Exec: p.Command, Stdin: ir, Stdout: ow, Stderr: ew})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("command started", time.Since(t0))
	out, _ := io.ReadAll(or)
	errs, _ := io.ReadAll(er)
	st, err := pr.Wait(t.Context())
	t.Logf("%v out=%s err=%s st=%+v %v", time.Since(t0), out, errs, st, err)
	end, err := in.Wait(t.Context())
	t.Log(end, err)
}
