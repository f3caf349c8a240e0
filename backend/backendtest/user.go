package backendtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// nobody is the identity for tests that root started: a backend never runs as root.
const nobody = 65534

// AsOrdinaryUser runs the calling test in another process of the same program, as
// an ordinary user, when this one is root. It returns true when it did: the caller
// then returns, too. Where the tests are run again by an ordinary user anyway
// it skips the test, see [testenv.Need].
func AsOrdinaryUser(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	testenv.Need(t, "only-run")
	dir, err := os.MkdirTemp("/tmp", "belljar-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true")
	c.Dir = "/"
	c.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("as an ordinary user:\n%s", out)
	}
	return true
}
