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
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestNamespacesRefused: where the kernel gives no namespaces of a kind, nothing is
// run, nothing weaker is taken, and the message names what to set. The limit holds in
// a user namespace of the test's own.
func TestNamespacesRefused(t *testing.T) {
	testenv.Need(t, "user")
	for _, limit := range []string{"max_user_namespaces", "max_net_namespaces"} {
		t.Run(limit, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, "/bin/sh", "-c", "echo 0 > /proc/sys/user/"+limit+" && exec \"$@\"", "sh")
			c.Args = append(c.Args, w.cmd(ctx, "run", "--", "sh", "-c", "echo it ran; touch ran").Args...)
			c.Dir, c.Env = w.proj, w.env
			c.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
				AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE},
			}
			var out, errout bytes.Buffer
			c.Stdout, c.Stderr = &out, &errout
			err := c.Run()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.ExitCode() != 125 {
				t.Errorf("ended with %v, not with 125\n%s", err, errout.String())
			}
			if strings.Contains(out.String(), "it ran") || w.exists("ran") {
				t.Error("the command ran")
			}
			mustContain(t, "the message", errout.String(), limit)
		})
	}
}
