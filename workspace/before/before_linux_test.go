package before

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type bench struct {
	*testing.T
	view, host string
	fd         int
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, view: t.TempDir(), host: t.TempDir()}
	fd, err := unix.Open(b.host, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	b.fd = fd
	return b
}

func (b *bench) writer(run string) *Writer {
	b.Helper()
	w, err := NewWriter(b.view, run, "live", func(dir int, name string, to int, as string) error {
		data, err := os.ReadFile(filepath.Join(b.host, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(b.view, "before", run, as), data, 0o600)
	})
	must(b.T, err)
	return w
}

func (b *bench) write(name, data string) {
	must(b.T, os.WriteFile(filepath.Join(b.host, name), []byte(data), 0o644))
}

func (b *bench) log(run string) Log {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.view, "before", run, "log"))
	must(b.T, err)
	l, err := Parse(data)
	must(b.T, err)
	return l
}

// What is kept is what was there before the first touch, once, and only that.
func TestKeep(t *testing.T) {
	b := newBench(t)
	large := strings.Repeat("x", maxInline+1)
	b.write("small", "old")
	b.write("large", large)
	must(t, os.Symlink("small", filepath.Join(b.host, "link")))
	w := b.writer("1")
	for range 2 {
		for _, n := range []string{"small", "large", "link", "none"} {
			must(t, w.Keep(n, b.fd, n))
		}
		must(t, w.New("dir/new", "small"))
		b.write("small", "new")
		b.write("large", "new")
	}
	w.HostChanged("large")
	w.HostChanged("never touched")
	must(t, w.End(func(rel string) (*shadow.Base, error) {
		if rel == "small" {
			return &shadow.Base{Size: 3}, nil
		}
		return nil, nil
	}))
	l := b.log("1")
	if len(l.Places) != 5 || l.Mode != "live" || !l.Done || l.Full {
		t.Fatalf("%+v", l)
	}
	for i, want := range []string{"old", "", "small", "", ""} {
		if got := string(l.Places[i].Text); got != want {
			t.Errorf("%s: %q, want %q", l.Places[i].Path, got, want)
		}
	}
	p := l.Places[1]
	if data, err := os.ReadFile(filepath.Join(b.view, "before", "1", p.Blob)); err != nil || string(data) != large || !p.Host {
		t.Errorf("large: %d bytes, %v, host %v", len(data), err, p.Host)
	}
	if s := l.Places[0]; !s.Said || s.Left == nil || s.Left.Size != 3 || l.Places[3].Was != nil || l.Places[4].Path != "dir/new" {
		t.Errorf("%+v", l.Places)
	}
}

// The oldest runs go, one that goes on never, and one that changed nothing at once.
func TestForget(t *testing.T) {
	b := newBench(t)
	b.write("f", "old")
	first := b.writer("0") // goes on
	must(t, first.Keep("f", b.fd, "f"))
	for _, run := range []string{"1", "2", "3", "4", "5"} {
		w := b.writer(run)
		must(t, w.Keep("f", b.fd, "f"))
		must(t, w.End(func(string) (*shadow.Base, error) { return nil, nil }))
		unix.Close(w.dir)
	}
	w := b.writer("6")
	must(t, w.End(nil))
	ents, err := os.ReadDir(filepath.Join(b.view, "before"))
	must(t, err)
	var names []string
	for _, e := range ents {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "0 3 4 5" {
		t.Errorf("left: %s", got)
	}
}

// A log that was cut anywhere is that of fewer places.
func TestCut(t *testing.T) {
	b := newBench(t)
	b.write("a", "1")
	w := b.writer("1")
	must(t, w.Keep("a", b.fd, "a"))
	must(t, w.New("b", "c"))
	data, err := os.ReadFile(filepath.Join(b.view, "before", "1", "log"))
	must(t, err)
	last := 0
	for n := range len(data) + 1 {
		l, err := Parse(data[:n])
		if err != nil || len(l.Places) < last {
			t.Fatalf("cut at %d: %d places, %v", n, len(l.Places), err)
		}
		last = len(l.Places)
	}
	if last != 3 {
		t.Errorf("%d places", last)
	}
}

// Whatever a log says, it leads to no place outside of the tree.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head))
	f.Add(append([]byte(head), line{Path: []byte("a/b"), Was: &shadow.Base{Mode: 0o100644}, Blob: "0"}.encode()...))
	f.Add(append([]byte(head), line{Path: []byte("../b")}.encode()...))
	f.Add([]byte(head + "{\"path\":\"YQ==\",\"blob\":\"../x\"}\n{\"mark\":\"left\",\"path\":\"YQ==\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range l.Places {
			if !filepath.IsLocal(p.Path) || filepath.Clean(p.Path) != p.Path || strings.ContainsAny(p.Blob, "/.") || seen[p.Path] {
				t.Fatalf("%+v", p)
			}
			seen[p.Path] = true
		}
	})
}

// TestBeginTogether: runs that begin at once, and clean up behind those that ended, do not
// take each other's folders.
func TestBeginTogether(t *testing.T) {
	b := newBench(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				w, err := NewWriter(b.view, fmt.Sprintf("%04d-%d", n, i), "live", nil)
				if err != nil {
					t.Error(err)
					return
				}
				err = w.New("made")
				if err == nil {
					err = w.End(func(string) (*shadow.Base, error) { return nil, nil })
				}
				if err != nil {
					t.Error(err)
				}
				unix.Close(w.dir)
			}
		})
	}
	all.Wait()
}

// TestOrder: a run that waited for its command comes behind one that has ended meanwhile,
// and is kept as the newer one.
func TestOrder(t *testing.T) {
	b := newBench(t)
	waits, err := NewWriter(b.view, RunName("waits"), "live", nil)
	must(t, err)
	ran, err := NewWriter(b.view, RunName("ran"), "live", nil)
	must(t, err)
	must(t, ran.New("f"))
	must(t, waits.New("f"))
	must(t, waits.End(func(string) (*shadow.Base, error) { return nil, nil }))
	ents, err := os.ReadDir(filepath.Join(b.view, "before"))
	must(t, err)
	if len(ents) != 2 || Unique(ents[0].Name()) != "ran" || Unique(ents[1].Name()) != "waits" {
		t.Errorf("%v", ents)
	}
}
