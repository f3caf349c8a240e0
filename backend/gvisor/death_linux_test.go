package gvisor_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/backendtest"
	"github.com/belljar-dev/belljar/backend/gvisor"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// The tests of this file kill processes of a sandbox, which only the tier itself
// knows. A supervisor to be killed is this test program once more.
const supervisorEnv = "BELLJAR_TEST_SUPERVISOR"

type noEvents struct{}

func (noEvents) Record(context.Context, belljar.Event) error { return nil }

func deathPlan() *belljar.Plan {
	uid, gid := os.Geteuid(), os.Getegid()
	return &belljar.Plan{
		Name: "death", Hostname: "jar",
		Identity: belljar.Identity{HostUID: uid, HostGID: gid, UID: uid, GID: gid},
		Command:  belljar.Exec{Path: "/usr/bin/sleep", Argv: []string{"sleep", "1000"}, Dir: "/"},
		Env:      []string{"PATH=/usr/bin"},
		Limits:   belljar.Limits{Memory: 256 << 20, CPUs: 1, Processes: 32, Files: 256, Disk: 1 << 20, Time: time.Minute},
		Mounts: []belljar.Mount{
			{Kind: belljar.MountBind, Source: "/usr", Target: "/usr", ReadOnly: true},
			{Kind: belljar.MountSymlink, Content: "usr/lib", Target: "/lib"},
			{Kind: belljar.MountSymlink, Content: "usr/lib64", Target: "/lib64"},
			{Kind: belljar.MountProc, Target: "/proc"},
			{Kind: belljar.MountDev, Target: "/dev"},
		},
	}
}

func startDeath(t *testing.T, dir string) belljar.Instance {
	t.Helper()
	p := deathPlan()
	in, err := gvisor.New(gvisor.Options{}).Start(t.Context(), &belljar.Spec{Plan: p, Dir: dir, Events: noEvents{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Start(t.Context(), &belljar.Command{Exec: p.Command}); err != nil {
		t.Fatal(err)
	}
	return in
}

// descendants are the processes below pid whose argv[0] is one of ours, by name.
func descendants(pid int) map[string]int {
	out := map[string]int{}
	for _, n := range testenv.Descendants(pid) {
		argv, _ := os.ReadFile("/proc/" + strconv.Itoa(n) + "/cmdline")
		if name, _, _ := strings.Cut(string(argv), "\x00"); strings.HasPrefix(name, "belljar-") {
			out[name] = n
		}
	}
	return out
}

// gone waits until none of the processes lives.
func gone(t *testing.T, pids map[string]int) {
	t.Helper()
	for name, pid := range pids {
		deadline := time.Now().Add(time.Minute)
		for {
			b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
			if err != nil || !strings.HasPrefix(string(b), name) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s (%d) lives on", name, pid)
			}
		}
	}
}

func TestDeathOfAProcess(t *testing.T) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	for _, victim := range []string{"belljar-launcher", "belljar-gofer", "belljar-sentry"} {
		t.Run(victim, func(t *testing.T) {
			dir := t.TempDir()
			in := startDeath(t, dir)
			defer in.Close()
			all := descendants(os.Getpid())
			if len(all) < 3 {
				t.Fatalf("processes %v", all)
			}
			if err := syscall.Kill(all[victim], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			end, err := in.Wait(ctx)
			if err != nil || end.Reason != belljar.EndCrashed || !strings.Contains(end.Detail, victim) {
				t.Errorf("end %+v, %v; want %s by %s", end, err, belljar.EndCrashed, victim)
			}
			gone(t, all)
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestDeathOfAStub kills what gVisor runs programs in, behind its back: the first one,
// of which the others are copies and which the sentry itself never looks at again.
func TestDeathOfAStub(t *testing.T) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	in := startDeath(t, t.TempDir())
	defer in.Close()
	all := descendants(os.Getpid())
	stubs := testenv.Children(all["belljar-sentry"])
	if len(stubs) < 2 {
		t.Fatalf("the sentry has children %v", stubs)
	}
	if err := syscall.Kill(stubs[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end, err := in.Wait(ctx)
	if err != nil || end.Reason != belljar.EndCrashed || !strings.Contains(end.Detail, "killed from outside") {
		t.Errorf("end %+v, %v; want %s that names the cause", end, err, belljar.EndCrashed)
	}
	gone(t, all)
}

func TestDeathOfTheSupervisor(t *testing.T) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	if dir := os.Getenv(supervisorEnv); dir != "" {
		startDeath(t, dir)
		os.Stdout.WriteString("running\n")
		select {}
	}
	c := exec.Command("/proc/self/exe", "-test.run=^TestDeathOfTheSupervisor$")
	c.Env = append(os.Environ(), supervisorEnv+"="+t.TempDir())
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	buf := make([]byte, 7)
	if _, err := out.Read(buf); err != nil || string(buf) != "running" {
		t.Fatalf("the supervisor says %q, %v", buf, err)
	}
	all := descendants(c.Process.Pid)
	if len(all) < 3 {
		t.Fatalf("processes %v", all)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, all)
}
