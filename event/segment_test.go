package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// small makes a record go on in a new file every few lines.
func small(o *CreateOptions) { o.SegmentBytes = 2000 }

// segmented is a closed record of several segments.
func segmented(t testing.TB, state, id string) (first string, segments int) {
	t.Helper()
	r := newRecord(t, state, id, small)
	for i := range 40 {
		if err := r.Record(contextOf(), execEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(belljar.EndEvent{End: belljar.End{Reason: belljar.EndExited}}); err != nil {
		t.Fatal(err)
	}
	all, err := segmentsOf(r.Path())
	if err != nil || len(all) < 5 {
		t.Fatalf("segments %v, %v", all, err)
	}
	return r.Path(), len(all)
}

func TestSegments(t *testing.T) {
	state := t.TempDir()
	path, n := segmented(t, state, "s")
	rep := mustVerify(t, state, "s", Ended)
	all := readAll(t, path, Filter{})
	if len(all) != 42+n-1 || rep.Events != len(all) {
		t.Fatalf("%d entries, and %d by verify, of %d segments", len(all), rep.Events, n)
	}
	for i, e := range all {
		if e.Seq != uint64(i) {
			t.Fatalf("entry %d is event %d", i, e.Seq)
		}
	}
	var followed []Entry
	for e, err := range Follow(t.Context(), path, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		followed = append(followed, e)
	}
	tail, err := OpenTail(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	tailed := 0
	for {
		_, damaged, ok, err := tail.Next()
		if damaged != 0 || err != nil {
			t.Fatal(damaged, err)
		}
		if !ok {
			break
		}
		tailed++
	}
	info, err := Find(state, "s")
	if err != nil || info.End == nil || info.Bytes != rep.Bytes {
		t.Fatalf("%+v, %v; verify counts %d bytes", info, err, rep.Bytes)
	}
	in, size, err := OpenBytes(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	head, events, err := CheckChain(in, "s")
	if err != nil || head != rep.Head || events != rep.Events || size != rep.Bytes {
		t.Errorf("as one file: %d bytes, %d events, %v", size, events, err)
	}
	for _, f := range []Filter{{}, {Process: "39"}, {Kinds: []belljar.EventKind{belljar.EventSegment}}, {Process: "git"}} {
		found := 0
		for _, err := range (searcher{64, 301}).search(t.Context(), []Info{info}, f) {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		if want := len(readAll(t, path, f)); found != want || found == 0 {
			t.Errorf("%+v: %d found, %d read", f, found, want)
		}
	}
	if len(followed) != len(all) || tailed != len(all) {
		t.Errorf("%d followed and %d tailed of %d", len(followed), tailed, len(all))
	}
	if err := Remove(state, "s"); err != nil {
		t.Fatal(err)
	}
	if rep, err := Verify(state, "s"); err != nil || rep.Status != Missing || !rep.OK() {
		t.Errorf("after removal: %+v, %v", rep, err)
	}
}

// A reader that waits goes on into the next file.
func TestFollowAcrossSegments(t *testing.T) {
	r := newRecord(t, t.TempDir(), "f", small)
	got := make(chan uint64)
	go func() {
		defer close(got)
		for e, err := range Follow(t.Context(), r.Path(), Filter{}) {
			if err != nil {
				t.Error(err)
			}
			got <- e.Seq
		}
	}()
	next := uint64(0)
	for i := range 60 {
		if err := r.Record(t.Context(), execEvent(i)); err != nil {
			t.Fatal(err)
		}
		if seq := <-got; seq != next {
			t.Fatalf("followed event %d, want %d", seq, next)
		}
		next++
	}
	go r.Close(belljar.EndEvent{})
	for seq := range got {
		if seq != next {
			t.Fatalf("followed event %d, want %d", seq, next)
		}
		next++
	}
	if r.segment < 5 || next < 60+uint64(r.segment) {
		t.Errorf("%d events in %d segments", next, r.segment)
	}
}

// Each attack on segments is named.
func TestSegmentAttacks(t *testing.T) {
	for name, tt := range map[string]struct {
		attack func(t *testing.T, path, other string, last int)
		want   []string
	}{
		"edit": {func(t *testing.T, path, _ string, _ int) {
			f := segmentPath(path, 2)
			put(t, f, bytes.Replace(get(t, f), []byte("status"), []byte("statsu"), 1))
		}, []string{"edited: its content was changed"}},
		"cut tail of one": {func(t *testing.T, path, _ string, _ int) {
			b := get(t, segmentPath(path, 2))
			put(t, segmentPath(path, 2), b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1])
		}, []string{"order: it is event", "1 are missing here", "cut: segment 3 was begun behind"}},
		"torn": {func(t *testing.T, path, _ string, _ int) {
			b := get(t, segmentPath(path, 2))
			put(t, segmentPath(path, 2), b[:len(b)-5])
		}, []string{"cut: segment 2 ends in the midst of a line", "1 are missing here"}},
		"one missing": {func(t *testing.T, path, _ string, _ int) {
			remove(t, segmentPath(path, 2))
		}, []string{"cut: segment 2 is not there", "order: it is event"}},
		"two missing": {func(t *testing.T, path, _ string, _ int) {
			remove(t, segmentPath(path, 2))
			remove(t, segmentPath(path, 3))
		}, []string{"cut: segments 2 to 3 are not there"}},
		"first missing": {func(t *testing.T, path, _ string, _ int) {
			remove(t, path)
		}, []string{"missing: the record is not there", "missing: its first segment is not there"}},
		"last missing": {func(t *testing.T, path, _ string, last int) {
			remove(t, segmentPath(path, last))
		}, []string{"cut: event", "and what followed is missing"}},
		"exchanged": {func(t *testing.T, path, _ string, _ int) {
			a, b := get(t, segmentPath(path, 2)), get(t, segmentPath(path, 3))
			put(t, segmentPath(path, 2), b)
			put(t, segmentPath(path, 3), a)
		}, []string{"segment 3 stands where segment 2 belongs", "segment 2 stands where segment 3 belongs"}},
		"of another run": {func(t *testing.T, path, other string, _ int) {
			put(t, segmentPath(path, 2), get(t, segmentPath(other, 2)))
		}, []string{`foreign: segment 2 is of the record of another sandbox, "other"`}},
		"replayed": {func(t *testing.T, path, _ string, last int) {
			put(t, segmentPath(path, last+1), get(t, segmentPath(path, 2)))
		}, []string{"grown: it stands behind the end event", "order: segment 2 stands where segment"}},
		"joined": {func(t *testing.T, path, _ string, _ int) {
			put(t, segmentPath(path, 1), append(get(t, segmentPath(path, 1)), get(t, segmentPath(path, 2))...))
			remove(t, segmentPath(path, 2))
		}, []string{"order: a segment begins here, in the midst of segment 1", "cut: segment 2 is not there"}},
		"a pipe": {func(t *testing.T, path, _ string, _ int) {
			remove(t, segmentPath(path, 2))
			if err := unix.Mkfifo(segmentPath(path, 2), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"form: it cannot be read", "no regular file"}},
		"a pipe first": {func(t *testing.T, path, _ string, _ int) {
			remove(t, path)
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"form: it cannot be read", "no regular file"}},
		"a link": {func(t *testing.T, path, _ string, _ int) {
			if err := os.Rename(segmentPath(path, 2), path+".x"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".x", segmentPath(path, 2)); err != nil {
				t.Fatal(err)
			}
		}, []string{"form: it cannot be read"}},
		"emptied": {func(t *testing.T, path, _ string, last int) {
			put(t, segmentPath(path, last), nil)
		}, []string{"has no line: those that it began with are missing"}},
		"without its first line": {func(t *testing.T, path, _ string, _ int) {
			b := get(t, segmentPath(path, 2))
			put(t, segmentPath(path, 2), b[bytes.IndexByte(b, '\n')+1:])
		}, []string{"form: segment 2 does not begin as one", "1 are missing here"}},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			path, n := segmented(t, state, "s")
			other, _ := segmented(t, state, "other")
			tt.attack(t, path, other, n-1)
			rep, err := Verify(state, "s")
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, f := range rep.Faults {
				fmt.Fprintf(&got, "%s: %s\n", f.Kind, f.What)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.String(), want) {
					t.Errorf("lacks %q:\n%s", want, got.String())
				}
			}
			all, err := VerifyAll(state)
			if err != nil || len(all) != 2 || !all[0].OK() {
				t.Errorf("the other one: %+v, %v", all, err)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A power failure may leave any beginning of a file, whatever is behind it: each cut at a
// border between segments is told by verify, and by whoever reads.
func TestCutAtEveryByteOfABorder(t *testing.T) {
	state := t.TempDir()
	path, _ := segmented(t, state, "s")
	whole := len(readAll(t, path, Filter{}))
	for _, at := range []int{1, 2} {
		file := segmentPath(path, at)
		good := get(t, file)
		lines := bytes.SplitAfter(good, []byte("\n"))
		first, last := len(lines[0]), len(good)-len(lines[len(lines)-2])
		for cut := range good {
			if cut > first+1 && cut < last-1 {
				continue
			}
			put(t, file, good[:cut])
			rep, err := Verify(state, "s")
			if err != nil || rep.OK() {
				t.Fatalf("segment %d cut at %d: %+v, %v", at, cut, rep.Faults, err)
			}
			read, told := 0, 0
			for _, err := range Read(path, Filter{}) {
				if err != nil {
					told++
				} else {
					read++
				}
			}
			if read >= whole || cut > 0 && good[cut-1] != '\n' && told != 1 {
				t.Fatalf("segment %d cut at %d: %d entries of %d and %d errors", at, cut, read, whole, told)
			}
		}
		put(t, file, good)
	}
	mustVerify(t, state, "s", Ended)
}

// What a kill in each step of the rotation leaves is as if it had not begun.
func TestKilledInRotation(t *testing.T) {
	body := []byte("{\"seq\":9,\"prev\":\"half of a line")
	for name, leave := range map[string][]byte{"made": nil, "half written": body, "written": append(slices.Clone(body), '\n')} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			r := newRecord(t, state, "s", small)
			for i := range 20 {
				r.Record(t.Context(), execEvent(i))
			}
			abandon(r)
			put(t, filepath.Join(NextFolder(state, "s"), segmentName(r.segment+1)), leave)
			before := len(readAll(t, r.Path(), Filter{}))
			if before != 21+r.segment {
				t.Errorf("%d entries in %d segments", before, r.segment)
			}
			mustVerify(t, state, "s", Killed)
			newRecord(t, state, "next").Close(belljar.EndEvent{})
			mustVerify(t, state, "s", Killed)
			if _, err := os.Lstat(NextFolder(state, "s")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what was half made stays: %v", err)
			}
		})
	}
}

// Where the next file cannot be made, nothing runs on.
func TestRotationFails(t *testing.T) {
	for name, spoil := range map[string]func(r *Record) error{
		"no folder":  func(r *Record) error { return os.RemoveAll(NextFolder(r.state, r.id)) },
		"in the way": func(r *Record) error { return os.WriteFile(segmentPath(r.path, 1), nil, 0o600) },
		"half of one": func(r *Record) error {
			return os.WriteFile(filepath.Join(NextFolder(r.state, r.id), segmentName(1)), nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecord(t, t.TempDir(), "s", small)
			if err := spoil(r); err != nil {
				t.Fatal(err)
			}
			var err error
			acked := 0
			for ; err == nil && acked < 100; acked++ {
				err = r.Record(t.Context(), execEvent(acked))
			}
			if err == nil || errors.Is(err, ErrFull) {
				t.Fatalf("after %d events: %v", acked, err)
			}
			select {
			case <-r.Full():
			default:
				t.Error("the sandbox is not stopped")
			}
			if r.Close(belljar.EndEvent{}) == nil {
				t.Error("Close says that all is well")
			}
			on := 0
			for e, err := range Read(r.Path(), Filter{}) {
				if err == nil && e.Exec != nil {
					on++
				}
			}
			if on != acked-1 {
				t.Errorf("%d commands on record, and %d were let go on", on, acked-1)
			}
		})
	}
}

func FuzzSegments(f *testing.F) {
	path, n := segmented(f, f.TempDir(), "s")
	var parts [3][]byte
	for i := range parts {
		b, err := os.ReadFile(segmentPath(path, min(i, n-1)))
		if err != nil {
			f.Fatal(err)
		}
		parts[i] = b
	}
	f.Add(parts[0], parts[1], parts[2], 2)
	f.Add(parts[0], []byte{}, []byte("\n\nx"), 7)
	f.Add([]byte("x"), parts[1][:100], []byte(nil), 3)
	state := f.TempDir() // one for all: a folder for each costs more than what is looked at
	first := recordPath(state, "s")
	if err := os.MkdirAll(filepath.Dir(first), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte, last int) {
		last = 2 + max(0, last)%1000
		defer os.Remove(segmentPath(first, last))
		for i, part := range map[int][]byte{0: a, 1: b, last: c} {
			put(t, segmentPath(first, i), part)
		}
		in, size, err := OpenBytes(first)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		all, err := io.ReadAll(in)
		if want := slices.Concat(a, b, c); err != nil || !bytes.Equal(all, want) || size != int64(len(want)) {
			t.Errorf("%d bytes of %d, %v", len(all), len(want), err)
		}
		lines := bytes.Count(all, []byte("\n"))
		got, gaps := 0, 0
		for _, err := range Read(first, Filter{}) {
			if err != nil && strings.HasPrefix(err.Error(), "segment") {
				gaps++
			} else {
				got++
			}
		}
		if got > lines || gaps > 2 {
			t.Errorf("%d lines and %d gaps of %d", got, gaps, lines)
		}
		if _, err := Verify(state, "s"); err != nil {
			t.Fatal(err)
		}
		inspect(state, "s")
	})
}
