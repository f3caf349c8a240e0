package sandbox

import (
	"bytes"
	"github.com/belljar-dev/belljar/limit"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOutput: what is kept is bounded, and is read from any position.
func TestOutput(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "output")
	o, err := NewOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	_, _ = o.Write([]byte("first words\n"))
	var b bytes.Buffer
	if next, left, err := CopyOutput(&b, dir, 6); err != nil || left != 0 || next != 12 || b.String() != "words\n" {
		t.Errorf("%d %d %v %q", next, left, err, b.String())
	}
	if next, left, err := CopyOutput(&b, dir, 12); err != nil || left != 0 || next != 12 {
		t.Errorf("%d %d %v", next, left, err)
	}
	piece := []byte(strings.Repeat("x", 3<<20) + "\n")
	for range 20 {
		_, _ = o.Write(piece)
	}
	_, _ = o.Write([]byte("last words\n"))
	b.Reset()
	next, left, err := CopyOutput(&b, dir, 12)
	total := int64(12 + 20*len(piece) + 11)
	if err != nil || next != total || left <= 0 || left+int64(b.Len())+12 != total || !strings.HasSuffix(b.String(), "last words\n") {
		t.Errorf("%d of %d, %d left out, %d bytes, %v", next, total, left, b.Len(), err)
	}
	if n, err := limit.DiskUsage(dir); err != nil || n > maxOutputFiles*maxOutputFile+1<<20 || int64(b.Len()) < maxOutputFile {
		t.Errorf("%d bytes on disk, %d read", n, b.Len())
	}
	// What is none of ours is not read.
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "00000000000000000000")); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if _, _, err := CopyOutput(&b, dir, 0); err != nil || strings.Contains(b.String(), "root:") {
		t.Errorf("%v", err)
	}
}

// TestOutputFollow: who only appends writes to what is kept, and not to what was removed.
func TestOutputFollow(t *testing.T) {
	o, err := NewOutput(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	last, calls := -1, 0
	o.Follow(func(fd int) { last, calls = fd, calls+1 })
	for range 4 {
		_, _ = o.Write(make([]byte, maxOutputFile))
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(last, &st); err != nil || st.Nlink != 1 || calls != 4 {
		t.Errorf("%v, %d links, told %d times", err, st.Nlink, calls)
	}
}

// TestRemoveKept: only what is ours and not in use is removed.
func TestRemoveKept(t *testing.T) {
	root := t.TempDir()
	d := Dirs{State: filepath.Join(root, "state"), Runtime: filepath.Join(root, "run")}
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(d.State, "homes", ProjectKey("/w"), "mine")
	for _, p := range []string{home, filepath.Join(d.State, "projects", ProjectKey("/w"), "cache", "x"), d.Output("1")} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(home+".stand-ins", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := d.claimRun(Entry{ID: "1", Name: "mine", Workspace: "/w"})
	if err != nil {
		t.Fatal(err)
	}
	kept := d.Kept()
	if len(kept) != 3 {
		t.Fatalf("%+v", kept)
	}
	for _, k := range kept {
		if err := d.Remove(k); err == nil {
			t.Errorf("%+v was removed while it is used", k)
		}
	}
	if err := c.release(); err != nil {
		t.Fatal(err)
	}
	for _, k := range append(kept, Kept{Kind: KeptOutput, Path: d.State}, Kept{Kind: KeptOutput, Path: filepath.Join(d.State, "records")}, Kept{Kind: KeptOutput, Path: "/etc/passwd"}) {
		if err := d.Remove(k); (err == nil) != (k.Name != "" || k.Project != "") {
			t.Errorf("%+v: %v", k, err)
		}
	}
	if left := d.Kept(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if _, err := os.Lstat(home + ".stand-ins"); err == nil {
		t.Error("stand-ins are left")
	}
}

// What was pruned before anybody could know that a run uses it is made again.
func TestOutputPrunedAtTheStart(t *testing.T) {
	d := Dirs{State: t.TempDir(), Runtime: t.TempDir()}
	o, err := NewOutput(d.Output("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, k := range d.Kept() {
		if err := d.Remove(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.remake(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, _, err := CopyOutput(&b, d.Output("x"), 0); err != nil || b.String() != "later" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
