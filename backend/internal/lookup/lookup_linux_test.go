package lookup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"one/x": 0o700, "two/x": 0o700, "two/plain": 0o600, "two/y": 0o700} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "one", "y"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/wrong", "A=b", "PATH=:" + dir + "/none:one:" + dir + "/two"}
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"x", dir + "/one/x", nil},
		{"y", dir + "/two/y", nil}, // a folder of that name is passed over
		{"plain", "", unix.EACCES},
		{"none", "", unix.ENOENT},
		{"", "", unix.ENOENT},
		{"./x", "./x", nil},
		{"/a/b", "/a/b", nil},
	} {
		if got, err := Program(c.name, dir, env); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: %q, %v", c.name, got, err)
		}
	}
	if got, err := Program("x", dir, []string{"HOME=/"}); got != "" || !errors.Is(err, unix.ENOENT) {
		t.Errorf("without PATH: %q %v", got, err)
	}
}
