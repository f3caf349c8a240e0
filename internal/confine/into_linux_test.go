package confine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

const intoVariable = "CONFINE_TEST_INTO"

// TestInto: a file is moved into a folder of Into from one of Write, and nothing that is there
// can be opened, replaced or removed.
func TestInto(t *testing.T) {
	if dir := os.Getenv(intoVariable); dir != "" {
		tryInto(t, dir)
		return
	}
	if v, err := ll.LandlockGetABIVersion(); err != nil || v < 3 {
		t.Skip("this kernel has no Landlock that can refuse all of it")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "next"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestInto$", "-test.v")
	c.Env = append(os.Environ(), intoVariable+"="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"old": "x", "new": "line\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func tryInto(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := paths(Options{Write: []string{at("next")}, Into: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(at("next/new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at("next/new"), at("new")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("line\n"); err != nil {
		t.Errorf("the file that is open: %v", err)
	}
	if err := os.WriteFile(at("next/other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(name string, flags int) func() error {
		return func() error {
			f, err := os.OpenFile(at(name), flags, 0o600)
			if err == nil {
				f.Close()
			}
			return err
		}
	}
	for what, try := range map[string]func() error{
		"write to what was there":   open("old", os.O_WRONLY),
		"write to what was moved":   open("new", os.O_WRONLY|os.O_APPEND),
		"read what was there":       open("old", os.O_RDONLY),
		"make one in place":         open("third", os.O_WRONLY|os.O_CREATE),
		"empty it":                  func() error { return os.Truncate(at("old"), 0) },
		"remove it":                 func() error { return os.Remove(at("new")) },
		"replace it":                func() error { return os.Rename(at("next/other"), at("old")) },
		"move it back":              func() error { return os.Rename(at("old"), at("next/old")) },
		"link it to where to write": func() error { return os.Link(at("old"), at("next/old")) },
	} {
		if err := try(); !errors.Is(err, os.ErrPermission) && !errors.Is(err, unix.EXDEV) { // Landlock says EXDEV where more could be done there
			t.Errorf("%s: %v", what, err)
		}
	}
}
