package before

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// Where there is no room, or another trouble of our own, the place is not to be touched.
func TestKeepFails(t *testing.T) {
	b := newBench(t)
	b.write("f", strings.Repeat("x", maxInline+1))
	for _, fails := range []error{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.EIO} {
		w, err := NewWriter(b.view, "1", "live", func(int, string, int, string) error { return fails })
		must(t, err)
		if err := w.Keep("f", b.fd, "f"); !errors.Is(err, fails) {
			t.Errorf("kept although %v: %v", fails, err)
		}
		must(t, os.RemoveAll(w.name))
	}
	w, err := NewWriter(b.view, "1", "live", func(int, string, int, string) error { return unix.EACCES })
	must(t, err)
	must(t, w.Keep("f", b.fd, "f")) // nor can who is inside read it
	if l := b.log("1"); l.Places[0].Lost == "" {
		t.Error("nothing says that it is lost")
	}
}

// A write that was cut, and could not be taken back, spoils no other line.
func TestTorn(t *testing.T) {
	b := newBench(t)
	b.write("f", "old")
	w := b.writer("1")
	must(t, w.Keep("f", b.fd, "f"))
	_, err := w.log.Write([]byte(`{"path":"Zg`))
	must(t, err)
	w.torn = int64(len(`{"path":"Zg`))
	must(t, w.New("g"))
	if l := b.log("1"); len(l.Places) != 2 || l.Places[1].Path != "g" {
		t.Errorf("%+v", l)
	}
}

// What a program makes takes nothing of the room for what was there before, also where
// it is touched again, and however long its names are.
func TestRoom(t *testing.T) {
	b := newBench(t)
	b.write("f", "old")
	w := b.writer("1")
	long := strings.Repeat(strings.Repeat("n", 250)+"/", 100)
	for i := range 2 * maxLog / len(long) {
		must(t, w.New(long+strconv.Itoa(i)))
	}
	st, err := w.log.Stat()
	must(t, err)
	if st.Size() > maxLog+maxLine {
		t.Errorf("the log takes %d", st.Size())
	}
	b.write("late", "made by the run")
	must(t, w.New("late"))
	must(t, w.Keep("late", b.fd, "late"))
	must(t, w.Keep("f", b.fd, "f"))
	must(t, w.End(func(string) (*shadow.Base, error) { return nil, nil }))
	l := b.log("1")
	if slices.ContainsFunc(l.Places, func(p Place) bool { return p.Path == "late" }) {
		t.Error("what the run made is taken for what was there before it")
	}
	if last := l.Places[len(l.Places)-1]; !l.Full || last.Path != "f" || string(last.Text) != "old" {
		t.Errorf("full %v, last %.20q %q", l.Full, last.Path, last.Text)
	}
}

// What the host has made of a place is kept anew, at most some times.
func TestAgain(t *testing.T) {
	b := newBench(t)
	w := b.writer("1")
	for i := range 2 * maxAgain {
		b.write("f", strconv.Itoa(i))
		must(t, w.Keep("f", b.fd, "f"))
		b.write("f", "the run's")
		must(t, w.Keep("f", b.fd, "f"))
		w.HostChanged("f")
	}
	if p := b.log("1").Places[0]; string(p.Text) != strconv.Itoa(maxAgain) || !p.Host {
		t.Errorf("%q, host %v", p.Text, p.Host)
	}
}

// The runs that ended last are kept, whenever they were started.
func TestForgetByEnd(t *testing.T) {
	b := newBench(t)
	for i := range 6 {
		w := b.writer(strconv.Itoa(i))
		must(t, w.New("f"))
		must(t, w.End(func(string) (*shadow.Base, error) { return nil, nil }))
		must(t, unix.Close(w.dir)) // as the end of its process does
		at := time.Unix(1_000_000_000-int64(i), 0)
		must(t, os.Chtimes(filepath.Join(w.name, "log"), at, at))
	}
	b.writer("9")
	for i, want := range []bool{true, true, true, false} {
		if _, err := os.Stat(filepath.Join(b.view, "before", strconv.Itoa(i))); (err == nil) != want {
			t.Errorf("run %d: %v", i, err)
		}
	}
}

// While the server ends nothing new is touched: nobody would know of it.
func TestKeepEnded(t *testing.T) {
	b := newBench(t)
	b.write("f", "old")
	b.write("g", "old")
	w := b.writer("1")
	must(t, w.Keep("f", b.fd, "f"))
	must(t, w.End(func(string) (*shadow.Base, error) { return nil, nil }))
	must(t, w.Keep("f", b.fd, "f"))
	if w.Keep("g", b.fd, "g") == nil || w.New("h") == nil {
		t.Error("a place may be touched that is not kept")
	}
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
