package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestNamespacesRefused: where the kernel gives no namespaces of a kind, nothing is
// run, nothing weaker is taken, and the message names what to set, also to who is root of
// the user namespace in which the limit holds (unshare -r). It is one of the test's own.
func TestNamespacesRefused(t *testing.T) {
	testenv.Need(t, "user")
	for _, limit := range []string{"max_user_namespaces", "max_net_namespaces"} {
		for name, c := range map[string]struct {
			uid  int
			args []string
		}{
			"run":         {os.Getuid(), []string{"run", "--"}},
			"best effort": {os.Getuid(), []string{"run", "--best-effort", "--"}},
			"detached":    {os.Getuid(), []string{"run", "--detach", "--name", "away", "--"}},
			"as root":     {0, []string{"run", "--"}},
		} {
			t.Run(limit+", "+name, func(t *testing.T) {
				w := newWorld(t)
				r := w.inNamespace(c.uid, 0, "echo 0 > /proc/sys/user/"+limit, append(c.args, "sh", "-c", "echo it ran; touch ran")...)
				if r.status != 125 {
					t.Errorf("ended with %d, not with 125\n%s", r.status, r.errout)
				}
				if strings.Contains(r.out, "it ran") || w.exists("ran") {
					t.Error("the command ran")
				}
				mustContain(t, "the message", r.errout, "/proc/sys/user/"+limit+" is 0", "hint: run: sudo sysctl -w user."+limit+"=")
			})
		}
	}
	t.Run("root of a user namespace", func(t *testing.T) {
		w := newWorld(t)
		r := w.inNamespace(0, 0, ":", "run", "--", "sh", "-c", "echo it ran; touch ran")
		if r.status != 125 || strings.Contains(r.out, "it ran") || w.exists("ran") {
			t.Errorf("ended with %d\n%s\n%s", r.status, r.out, r.errout)
		}
		mustContain(t, "the message", r.errout, "does not exist in this user namespace", "as the ordinary user")
	})
}

// TestControlGroups: limits hold alike whatever control groups the host has, because
// none are used: those that are here, none at all, and only version 2.
func TestControlGroups(t *testing.T) {
	testenv.Need(t, "user", "python3")
	const dir = "/sys/fs/cgroup"
	for name, prepare := range map[string]string{
		"those of this host": ":",
		"none":               "mount -t tmpfs none " + dir,
		"version 2":          "mount -t cgroup2 none " + dir + " && test -e " + dir + "/cgroup.procs",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(dir); err != nil && prepare != ":" {
				t.Skip("this host has no ", dir)
			}
			w := newWorld(t)
			r := w.inNamespace(os.Getuid(), syscall.CLONE_NEWNS|syscall.CLONE_NEWCGROUP, prepare,
				"run", "--memory", "700MiB", "--processes", "40", "--", "python3", "-c", `
import os, time
n = 0
try:
    for i in range(100):
        if os.fork() == 0: time.sleep(30); os._exit(0)
        n += 1
except OSError as e: print("stopped", e.errno, flush=True)
print(sorted(set(l.split(":", 2)[2] for l in open("/proc/self/cgroup").read().split())), flush=True)
b = []
for i in range(1500): b.append(bytearray(b"x")*(1<<20))
print("not ended")
`)
			if r.status != 137 {
				t.Errorf("ended with %d, not with 137\n%s\n%s", r.status, r.out, r.errout)
			}
			mustContain(t, "output", r.out, "stopped 11")
			mustLack(t, "output", r.out, "not ended")
			mustContain(t, "the message", r.errout, "belljar: error: the memory limit of 700MiB")
		})
	}
}

// inNamespace runs belljar in a user namespace of its own, as uid of it, after a line of
// shell that may do there what root may.
func (w *world) inNamespace(uid int, more uintptr, prepare string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), hangs)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", "{ "+prepare+"; } && exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"", "sh")
	c.Args = append(c.Args, w.cmd(ctx, args...).Args...)
	c.Dir, c.Env = w.proj, w.env
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | more,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN},
	}
	if uid != 0 {
		c.SysProcAttr.GidMappings[0].ContainerID = os.Getgid()
	}
	var out, errout bytes.Buffer
	c.Stdout, c.Stderr = &out, &errout
	var ended *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ended) {
		w.t.Fatal(err)
	}
	return result{status: c.ProcessState.ExitCode(), out: out.String(), errout: errout.String()}
}
