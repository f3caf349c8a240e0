// Package testenv says whether this machine has what a test needs.
//
// A test that needs something of the host calls [Need]. When the probe finds
// it missing the test is skipped with the reason, unless the environment
// variable BELLJAR_REQUIRE names it (a list separated by commas, or "all"):
// then it fails, so that a skip in continuous integration is never silent.
//
// # Limitations
//
// Probes are cheap and shallow: they say that a thing is there, not that it works.
package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Need skips or fails t when the host lacks one of the named things: root, user (not
// root), only-run, fuse, xattr, userns, netns, or the name of a program on PATH.
//
// only-run is missing when root runs the tests and BELLJAR_USER_RUN=follows says that
// an ordinary user runs them next, as in continuous integration: what tests the same
// for both needs it. An ordinary user's run always has it.
func Need(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		err := probe(n)
		if err == nil {
			continue
		}
		if Required(n) {
			t.Fatalf("BELLJAR_REQUIRE names %s, but this machine lacks it: %v", n, err)
		}
		t.Skipf("this machine lacks %s: %v", n, err)
	}
}

// Required says whether BELLJAR_REQUIRE names n; "all" names everything but root,
// user and only-run, which are who runs the tests and no abilities of the machine.
func Required(n string) bool {
	l := strings.Split(os.Getenv("BELLJAR_REQUIRE"), ",")
	return slices.Contains(l, n) || slices.Contains(l, "all") && n != "root" && n != "user" && n != "only-run"
}

func probe(n string) error {
	switch n {
	case "root":
		if os.Geteuid() != 0 {
			return errors.New("not started as root")
		}
		return nil
	case "user":
		if os.Geteuid() == 0 {
			return errors.New("started as root")
		}
		return nil
	case "only-run":
		if os.Geteuid() == 0 && os.Getenv("BELLJAR_USER_RUN") == "follows" {
			return errors.New("an ordinary user's run follows and has this test in it")
		}
		return nil
	case "xattr":
		return userXattr()
	case "fuse":
		f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return f.Close()
	case gitHTTPBackend:
		_, err := gitBackend()
		return err
	case "userns":
		return sysctlAboveZero("/proc/sys/user/max_user_namespaces")
	case "netns":
		return sysctlAboveZero("/proc/sys/user/max_net_namespaces")
	}
	_, err := exec.LookPath(n)
	return err
}

// userXattr tries an extended attribute where tests have their temporary files.
func userXattr() error {
	f, err := os.CreateTemp("", "belljar-xattr-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Fsetxattr(int(f.Fd()), "user.belljar", []byte("x"), 0)
}

func sysctlAboveZero(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(b)) == "0" {
		return fmt.Errorf("%s is 0", file)
	}
	return nil
}
