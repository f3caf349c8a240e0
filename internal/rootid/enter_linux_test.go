package rootid

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// TestMain plays the part of a belljar that was started as root when told so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ROOTID_TEST_DIR"); dir != "" {
		if err := Enter(Request{Home: dir}); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		report(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func report(dir string) {
	st, err := os.Stat(filepath.Join(dir, "secret"))
	if err != nil {
		os.Stdout.WriteString("stat: " + err.Error())
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o600); err != nil {
		os.Stdout.WriteString("write: " + err.Error())
		return
	}
	if st.Mode().Perm() != 0o600 || os.Geteuid() == 0 || !StartedAsRoot() {
		os.Stdout.WriteString("not the identity")
		return
	}
	if _, err := os.ReadFile("/etc/shadow"); err == nil {
		os.Stdout.WriteString("reads /etc/shadow")
		return
	}
	os.Stdout.WriteString("ok")
}

func TestEnterKeepsOwners(t *testing.T) {
	testenv.Need(t, "root")
	for name, owner := range map[string]int{"root's folder": 0, "a user's folder": 1234} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{dir, filepath.Join(dir, "secret")} {
				if err := os.Chown(p, owner, owner); err != nil {
					t.Fatal(err)
				}
			}
			exe := filepath.Join(dir, "self") // readable for the identity, wherever the test binary lies
			if b, err := os.ReadFile("/proc/self/exe"); err != nil || os.WriteFile(exe, b, 0o755) != nil {
				t.Fatal("copy of the test binary", err)
			}
			c := exec.Command(exe)
			c.Env = append(os.Environ(), "ROOTID_TEST_DIR="+dir)
			c.Dir = dir
			out, err := c.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "ok" {
				t.Fatalf("%v: %s", err, out)
			}
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, "new"), &st); err != nil {
				t.Fatal(err)
			}
			if int(st.Uid) != owner || int(st.Gid) != owner {
				t.Errorf("the new file belongs to %d:%d on disk, want %d", st.Uid, st.Gid, owner)
			}
		})
	}
}

// Starts that are the first, at the same time, do not refuse what another is making; what
// is root's and has something in it, or is open to others, is refused.
func TestOwnDir(t *testing.T) {
	testenv.Need(t, "root")
	dir := t.TempDir()
	for round := range 200 {
		var g errgroup.Group
		for range 4 {
			g.Go(func() error { return ownDir(filepath.Join(dir, strconv.Itoa(round)), 4321, 4321) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	full, open := filepath.Join(dir, "full"), filepath.Join(dir, "open")
	for d, mode := range map[string]os.FileMode{full: 0o700, filepath.Join(full, "x"): 0o700, open: 0o755} {
		if err := os.MkdirAll(d, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{full, open} {
		if err := ownDir(d, 4321, 4321); err == nil {
			t.Errorf("%s was taken", filepath.Base(d))
		}
	}
}
