package shadow

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func perm755(string) uint32 { return 0o755 }

// newView makes a shadow and a host folder with some files.
func newView(t *testing.T) (*View, string, int) {
	t.Helper()
	dir := t.TempDir()
	host := filepath.Join(dir, "host")
	must(t, os.MkdirAll(filepath.Join(host, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(host, "a/b/f"), []byte("content"), 0o640))
	must(t, os.Chmod(filepath.Join(host, "a/b/f"), 0o640)) // whatever the umask
	must(t, os.Symlink("f", filepath.Join(host, "a/b/l")))
	s, err := Create(filepath.Join(dir, "shadow"))
	must(t, err)
	v, err := s.CreateView(host)
	must(t, err)
	t.Cleanup(func() { v.Close() })
	fd, err := unix.Open(filepath.Join(host, "a/b"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return v, host, fd
}

func paths(t *testing.T, v *View) []string {
	t.Helper()
	var out []string
	must(t, v.Walk(func(e Entry) error {
		s := e.Kind.String() + " " + e.Path
		if e.Opaque {
			s += " opaque"
		}
		if e.Base != nil {
			s += " base"
		}
		out = append(out, s)
		return nil
	}))
	return out
}

func TestCopyIn(t *testing.T) {
	v, host, fd := newView(t)
	must(t, v.MakeParents("a/b/f", perm755))
	must(t, v.CopyIn(fd, "f", "a/b/f", nil))
	must(t, v.CopyIn(fd, "l", "a/b/l", nil))
	want := []string{"dir a", "dir a/b", "file a/b/f base", "symlink a/b/l base"}
	if d := cmp.Diff(want, paths(t, v)); d != "" {
		t.Fatal(d)
	}
	e, err := v.Lookup("a/b/f")
	must(t, err)
	now, err := HostBase(fd, "f")
	must(t, err)
	if e.Perm != 0o640 || e.Size != 7 || !e.Base.Same(now) {
		t.Errorf("entry %+v, host %+v", e, now)
	}
	f, err := v.OpenFile("a/b/f")
	must(t, err)
	defer f.Close()
	if b, _ := io.ReadAll(f); string(b) != "content" {
		t.Errorf("copy is %q", b)
	}
	must(t, os.WriteFile(filepath.Join(host, "a/b/f"), []byte("changed"), 0o640))
	if now, _ = HostBase(fd, "f"); e.Base.Same(now) {
		t.Error("the host's edit was not noticed")
	}
	must(t, v.Remove("a/b/f"))
	must(t, v.Remove("a/b/l"))
	v.Prune("a/b")
	if got := paths(t, v); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	if b, err := v.Base("a/b/f"); b != nil || err != nil {
		t.Errorf("base left: %v %v", b, err)
	}
}

func TestAdmitRefuses(t *testing.T) {
	v, _, fd := newView(t)
	must(t, v.MakeParents("a/b/f", perm755))
	if err := v.CopyIn(fd, "f", "a/b/f", func(int64) error { return unix.ENOSPC }); err != unix.ENOSPC {
		t.Fatalf("CopyIn: %v", err)
	}
	if _, err := v.Lookup("a/b/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Lookup: %v", err)
	}
}

func TestWhiteout(t *testing.T) {
	v, _, fd := newView(t)
	b, err := HostBase(fd, "f")
	must(t, err)
	must(t, v.MakeParents("a/b/f", perm755))
	must(t, v.SetWhiteout("a/b/f", b))
	e, err := v.Lookup("a/b/f")
	must(t, err)
	if e.Kind != Whiteout || !e.Base.Same(b) || e.Base.Sum == "" {
		t.Errorf("whiteout %+v", e)
	}
	// A whiteout takes the place of a full directory, and back, in one step.
	must(t, v.SetWhiteout("a/b", nil))
	must(t, v.MakeDir("a/b", 0o700, true))
	if d := cmp.Diff([]string{"dir a", "dir a/b opaque"}, paths(t, v)); d != "" {
		t.Error(d)
	}
	if err := v.MakeDir("a/b", 0o700, false); err != unix.EEXIST {
		t.Errorf("MakeDir over a directory: %v", err)
	}
	if err := v.MakeParents("a/b/c/d", perm755); err != nil {
		t.Error(err)
	}
}

func TestRenameKeepsBases(t *testing.T) {
	v, _, fd := newView(t)
	must(t, v.MakeParents("a/b/f", perm755))
	must(t, v.CopyIn(fd, "f", "a/b/f", nil))
	must(t, v.Rename("a", "z", nil, true))
	if d := cmp.Diff([]string{"dir z", "dir z/b", "file z/b/f base"}, paths(t, v)); d != "" {
		t.Error(d)
	}
	must(t, v.Rename("z", "y", nil, false))
	if d := cmp.Diff([]string{"dir y", "dir y/b", "file y/b/f"}, paths(t, v)); d != "" {
		t.Error(d)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	s, err := Create(dir)
	must(t, err)
	odd := "/nowhere/\xff\n name"
	v, err := s.CreateView(odd)
	must(t, err)
	defer v.Close()
	got, err := s.Sources()
	must(t, err)
	if d := cmp.Diff([]string{odd}, got); d != "" {
		t.Error(d)
	}
	if _, err := s.View("/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("View of nothing: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "format"), []byte("belljar-shadow 99\n"), 0o600))
	if _, err := Create(dir); !errors.Is(err, ErrFormat) {
		t.Errorf("Create over another version: %v", err)
	}
}

func TestUnfinishedWork(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(dir)
	must(t, err)
	v, err := s.CreateView("/x")
	must(t, err)
	tmp := filepath.Join(dir, "views", Key("/x"), "tmp")
	must(t, os.MkdirAll(filepath.Join(tmp, "rubbish/deep"), 0o755))
	_, err = v.Promise("p/.belljar-1")
	must(t, err)
	other, err := s.View("/x")
	must(t, err)
	if got := other.Promised(); got != nil {
		t.Errorf("promises of the living: %q", got)
	}
	if _, err := os.Stat(filepath.Join(tmp, "rubbish")); err != nil {
		t.Error("work of the living was removed")
	}
	v.Close()
	other.Close()
	v, err = s.View("/x")
	must(t, err)
	defer v.Close()
	if _, err := os.Stat(filepath.Join(tmp, "rubbish")); err == nil {
		t.Error("rubbish of the dead is still there")
	}
	if d := cmp.Diff([]string{"p/.belljar-1"}, v.Promised()); d != "" {
		t.Error(d)
	}
	if got := v.Promised(); len(got) != 0 {
		t.Errorf("told twice: %q", got)
	}
}

func TestOddNames(t *testing.T) {
	v, _, _ := newView(t)
	long := strings.Repeat("n", 255)
	for _, n := range []string{"\xff\xfe", "new\nline", " ", "-rf", "belljar-whiteout", long, ".wh.x"} {
		must(t, v.SetWhiteout(n, nil))
		must(t, v.MakeDir(n, 0o755, true))
		must(t, v.SetBase(n, &Base{Ino: 1}))
		e, err := v.Lookup(n)
		must(t, err)
		if e.Path != n || e.Kind != Dir || !e.Opaque {
			t.Errorf("%q: %+v", n, e)
		}
	}
	deep := strings.Repeat(long+"/", 40) + "x"
	must(t, v.MakeParents(deep, perm755))
	must(t, v.SetWhiteout(deep, nil))
	if e, err := v.Lookup(deep); err != nil || e.Kind != Whiteout {
		t.Errorf("deep: %+v %v", e, err)
	}
	must(t, v.Remove(long))
}

// TestNoLinksFollowed plants a link where a directory is expected.
func TestNoLinksFollowed(t *testing.T) {
	v, host, _ := newView(t)
	must(t, unix.Symlinkat(host, v.TreeDir(), "out"))
	if err := v.SetWhiteout("out/a", nil); err == nil {
		t.Error("a whiteout went through a link")
	}
	if _, err := v.OpenFile("out/a/b/f"); err == nil {
		t.Error("a file was opened through a link")
	}
	must(t, v.Remove("out"))
	if _, err := os.Stat(filepath.Join(host, "a/b/f")); err != nil {
		t.Error("the host's tree was removed through a link")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeRecord("a/b", Base{Ino: 1, Sum: "x"}))
	f.Add([]byte(`{"path":"YQ==","ino":-1}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rel, base, err := decodeRecord(b)
		if err != nil {
			return
		}
		rel2, base2, err := decodeRecord(encodeRecord(rel, base))
		if err != nil || rel2 != rel || base2 != base {
			t.Fatalf("%q %+v became %q %+v: %v", rel, base, rel2, base2, err)
		}
	})
}

func FuzzWhiteout(f *testing.F) {
	f.Add(whiteoutText(nil))
	f.Add(whiteoutText(&Base{Ino: 3, Mode: 0o100644}))
	f.Add("x")
	f.Add(whiteoutPrefix + "{")
	f.Fuzz(func(t *testing.T, s string) {
		b := parseWhiteout(s)
		if b == nil {
			return
		}
		if c := parseWhiteout(whiteoutText(b)); c == nil || *c != *b {
			t.Fatalf("%+v became %+v", b, c)
		}
	})
}
