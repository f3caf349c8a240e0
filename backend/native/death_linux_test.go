package native_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/backendtest"
	"github.com/belljar-dev/belljar/backend/native"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// supervisorEnv makes this program a supervisor that can be killed.
const supervisorEnv = "BELLJAR_TEST_NATIVE_SUPERVISOR"

type noEvents struct{}

func (noEvents) Record(context.Context, belljar.Event) error { return nil }

// smallPlan runs a command that stays, with two that left its session.
func smallPlan() *belljar.Plan {
	uid, gid := os.Geteuid(), os.Getegid()
	return &belljar.Plan{
		Name: "small", Hostname: "jar",
		Identity: belljar.Identity{HostUID: uid, HostGID: gid, UID: uid, GID: gid},
		Command:  belljar.Exec{Path: "/usr/bin/sh", Argv: []string{"sh", "-c", "setsid sleep 987654 & trap '' TERM HUP; sleep 987654"}, Dir: "/"},
		Env:      []string{"PATH=/usr/bin"},
		Limits:   belljar.Limits{Memory: 256 << 20, CPUs: 1, Processes: 32, Files: 256, Disk: 1 << 20, Time: time.Minute},
		Mounts: []belljar.Mount{
			{Kind: belljar.MountBind, Source: "/usr", Target: "/usr", ReadOnly: true},
			{Kind: belljar.MountSymlink, Content: "usr/lib", Target: "/lib"},
			{Kind: belljar.MountSymlink, Content: "usr/lib64", Target: "/lib64"},
			{Kind: belljar.MountProc, Target: "/proc"},
			{Kind: belljar.MountDev, Target: "/dev"},
			{Kind: belljar.MountTmpfs, Target: "/tmp", Size: 1 << 20, Perm: 0o1777},
		},
	}
}

func startSmall(t *testing.T, dir string, o native.Options) belljar.Instance {
	t.Helper()
	p := smallPlan()
	in, err := native.New(o).Start(t.Context(), &belljar.Spec{Plan: p, Dir: dir, Events: noEvents{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Start(t.Context(), &belljar.Command{Exec: p.Command}); err != nil {
		t.Fatal(err)
	}
	return in
}

// below are the processes that descend from pid, by number with their arguments.
func below(pid int) map[int]string {
	out := map[int]string{}
	for _, n := range testenv.Descendants(pid) {
		argv, _ := os.ReadFile("/proc/" + strconv.Itoa(n) + "/cmdline")
		out[n] = string(argv)
	}
	return out
}

// running waits until the sandbox below pid has its four processes.
func running(t *testing.T, pid int) map[int]string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		all := below(pid)
		sleeps := 0
		for _, argv := range all {
			if strings.HasPrefix(argv, "sleep\x00987654") {
				sleeps++
			}
		}
		if sleeps == 2 {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v", all)
		}
	}
}

// gone waits until none of the processes lives.
func gone(t *testing.T, all map[int]string) {
	t.Helper()
	for pid, argv := range all {
		for deadline := time.Now().Add(time.Minute); ; {
			b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
			if err != nil || string(b) != argv || argv == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q (%d) lives on", argv, pid)
			}
		}
	}
}

func TestDeathOfTheFirstProcess(t *testing.T) { deathOf(t, "belljar-init") }

// What cannot be counted must not run.
func TestDeathOfTheMeter(t *testing.T) { deathOf(t, "belljar-meter") }

func deathOf(t *testing.T, process string) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	dir := t.TempDir()
	in := startSmall(t, dir, native.Options{})
	defer in.Close()
	all := running(t, os.Getpid())
	for pid, argv := range all {
		if strings.HasPrefix(argv, process) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end, err := in.Wait(ctx)
	if err != nil || end.Reason != belljar.EndCrashed || !strings.Contains(end.Detail, "SIGKILL") {
		t.Errorf("end %+v, %v", end, err)
	}
	gone(t, all)
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDeathOfTheSupervisor(t *testing.T) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	if dir := os.Getenv(supervisorEnv); dir != "" {
		startSmall(t, dir, native.Options{})
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
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "running\n" {
		t.Fatalf("the supervisor says %q, %v", line, err)
	}
	all := running(t, c.Process.Pid)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, all)
}

// BenchmarkTrue is a whole sandbox for the shortest command there is.
func BenchmarkTrue(b *testing.B) {
	p := smallPlan()
	p.Command = belljar.Exec{Path: "/usr/bin/true", Argv: []string{"true"}, Dir: "/"}
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		d := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(d, 0o700); err != nil {
			b.Fatal(err)
		}
		in, err := native.New(native.Options{}).Start(b.Context(), &belljar.Spec{Plan: p, Dir: d, Events: noEvents{}})
		if err != nil {
			b.Fatal(err)
		}
		pr, err := in.Start(b.Context(), &belljar.Command{Exec: p.Command})
		if err != nil {
			b.Fatal(err)
		}
		if st, err := pr.Wait(b.Context()); err != nil || st.Status() != 0 {
			b.Fatal(st, err)
		}
		in.Close()
	}
}
