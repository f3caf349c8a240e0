package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// What is nearly full is warned of, and nothing else.
func TestDiskWarnings(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		d    diskUse
		want string
	}{
		{diskUse{Records: 100 * gib, Size: 1000 * gib, Free: 500 * gib}, ""},
		{diskUse{Records: 44 * gib, Bound: 50 * gib, Size: 1000 * gib, Free: 500 * gib}, ""},
		{diskUse{Records: 45 * gib, Bound: 50 * gib}, "of the 50.0GiB that they may be"},
		{diskUse{Records: 51 * gib, Bound: 50 * gib}, "more than their bound"},
		{diskUse{Size: 1000 * gib, Free: 49 * gib}, "only 49.0GiB"},
		{diskUse{Size: 10 * gib, Free: gib - 1}, "only 1024.0MiB of 10.0GiB"},
		{diskUse{Size: gib, Free: gib - 1}, ""},
		{diskUse{Size: gib, Free: gib / 30}, "are free"},
	} {
		c.d.judge()
		if got := strings.Join(c.d.Warning, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.d, got, c.want)
		}
	}
}

// Names of files are shown escaped.
func TestPrintDisk(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := &App{Out: out}
	d := &diskUse{State: "/s\x1b[2J", Records: 1 << 20, Bound: 1 << 30, Origin: &belljar.Origin{File: "/p\x1b[31m", Line: 3}, Size: 2, Free: 1, Warning: []string{"\x1b"}}
	a.printDisk(d)
	b, err := os.ReadFile(out.Name())
	if s := string(b); err != nil || strings.Contains(s, "\x1b") || !strings.Contains(s, "records: 1.0MiB, at most 1.0GiB, written by ") || !strings.Contains(s, ":3\n") {
		t.Errorf("%q", s)
	}
}
