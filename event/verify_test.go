package event

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// history of a state folder for the attacks: a closed record between two others.
func attackState(t *testing.T) string {
	t.Helper()
	state := t.TempDir()
	for _, id := range []string{"a", "b", "c"} {
		r := newRecord(t, state, id)
		for i := range 2 {
			if err := r.Record(t.Context(), execEvent(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(belljar.EndEvent{End: belljar.End{Reason: belljar.EndExited}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		mustVerify(t, state, id, Ended)
	}
	return state
}

// faulty says whether any report has a fault.
func faulty(t *testing.T, state string) bool {
	t.Helper()
	if r, err := Verify(state, "b"); err == nil && !r.OK() {
		return true // the quick way
	}
	all, err := VerifyAll(state)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(r Report) bool { return !r.OK() })
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	// Not os.WriteFile: some file systems wait for the disk when a file is emptied first.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every byte, every cut, every order of lines.
func TestEveryChangeShows(t *testing.T) {
	for _, file := range []string{"records/b/events.jsonl", "anchors"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			state := attackState(t)
			tryEveryChange(t, state, filepath.Join(state, file))
		})
	}
}

func tryEveryChange(t *testing.T, state, path string) {
	t.Helper()
	good := get(t, path)
	expect := func(what string, changed []byte) {
		t.Helper()
		if bytes.Equal(changed, good) {
			return
		}
		put(t, path, changed)
		if !faulty(t, state) {
			t.Errorf("%s: %s does not show", filepath.Base(path), what)
		}
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(good); i += step {
		for _, mask := range []byte{0x01, 0x80} {
			b := slices.Clone(good)
			b[i] ^= mask
			expect(fmt.Sprintf("byte %d ^ %#x", i, mask), b)
		}
		b := slices.Clone(good)
		b[i] = '\n'
		expect(fmt.Sprintf("newline at %d", i), b)
		expect(fmt.Sprintf("byte %d deleted", i), slices.Delete(slices.Clone(good), i, i+1))
		expect(fmt.Sprintf("byte %d doubled", i), slices.Insert(slices.Clone(good), i, good[i]))
		expect(fmt.Sprintf("cut at %d", i), good[:i])
	}
	expect("bytes behind the end", append(slices.Clone(good), "x\n"...))
	if filepath.Base(path) == eventsFile {
		expect("a torn line behind the end", append(slices.Clone(good), "x"...))
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(good, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	for i := range lines {
		for j := range lines {
			l := slices.Clone(lines)
			l[i], l[j] = l[j], l[i]
			expect(fmt.Sprintf("lines %d and %d swapped", i, j), bytes.Join(l, nil))
			l = slices.Insert(slices.Clone(lines), j, lines[i])
			expect(fmt.Sprintf("line %d copied to %d", i, j), bytes.Join(l, nil))
			if i <= j {
				expect(fmt.Sprintf("lines %d to %d removed", i, j), bytes.Join(slices.Delete(slices.Clone(lines), i, j+1), nil))
			}
		}
	}
	put(t, path, good)
	if faulty(t, state) {
		t.Fatal("the original has faults")
	}
}

// forge makes a record whose own chain is right, from changed bodies.
func forge(t *testing.T, id string, raw []byte, change func(string) string) ([]byte, string) {
	t.Helper()
	var out []byte
	head := genesis("record", id)
	for i, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n")) {
		l, err := parseLink(line)
		if err != nil {
			t.Fatal(err)
		}
		out, head = appendLine(out, uint64(i), head, []byte(change(string(l.body))))
	}
	return out, head
}

func hasFault(r Report, k FaultKind, line int) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Kind == k && f.Line == line })
}

func TestFaultsAreNamed(t *testing.T) {
	tests := []struct {
		name   string
		attack func(t *testing.T, state string)
		kind   FaultKind
		line   int
	}{
		{"one word edited", func(t *testing.T, state string) {
			p := recordPath(state, "b")
			put(t, p, bytes.Replace(get(t, p), []byte(`"status","1"`), []byte(`"status","7"`), 1))
		}, FaultEdited, 3},
		{"a line removed", func(t *testing.T, state string) {
			p := recordPath(state, "b")
			l := bytes.SplitAfter(get(t, p), []byte("\n"))
			put(t, p, bytes.Join(slices.Delete(l, 2, 3), nil))
		}, FaultOrder, 3},
		{"the last two lines cut", func(t *testing.T, state string) {
			p := recordPath(state, "b")
			l := bytes.SplitAfter(get(t, p), []byte("\n"))
			put(t, p, bytes.Join(l[:3], nil))
		}, FaultCut, 0},
		{"another record in its place", func(t *testing.T, state string) {
			put(t, recordPath(state, "b"), get(t, recordPath(state, "a")))
		}, FaultForeign, 1},
		{"the end rewritten with a right chain", func(t *testing.T, state string) {
			p := recordPath(state, "b")
			b, _ := forge(t, "b", get(t, p), func(s string) string { return strings.ReplaceAll(s, "git", "ls") })
			put(t, p, b)
		}, FaultAnchor, 0},
		{"an empty file", func(t *testing.T, state string) { put(t, recordPath(state, "b"), nil) }, FaultCut, 0},
		{"a line of rubbish", func(t *testing.T, state string) {
			p := recordPath(state, "b")
			put(t, p, append([]byte("{}\n"), get(t, p)...))
		}, FaultForm, 1},
		{"the folder deleted", func(t *testing.T, state string) {
			if err := os.RemoveAll(filepath.Dir(recordPath(state, "b"))); err != nil {
				t.Fatal(err)
			}
		}, FaultMissing, 0},
		{"the anchors deleted", func(t *testing.T, state string) {
			if err := os.Remove(filepath.Join(state, anchorsFile)); err != nil {
				t.Fatal(err)
			}
		}, FaultAnchors, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := attackState(t)
			tt.attack(t, state)
			r, err := Verify(state, "b")
			if err != nil {
				t.Fatal(err)
			}
			if !hasFault(r, tt.kind, tt.line) {
				t.Errorf("no fault %q in line %d: %+v", tt.kind, tt.line, r.Faults)
			}
		})
	}
}

// Whoever rewrites a record and the anchors too still has to rewrite what was
// started later.
func TestRewrittenAnchorsShowInTheNextRecord(t *testing.T) {
	state := attackState(t)
	p := recordPath(state, "b")
	old := mustVerify(t, state, "b", Ended).Head
	b, head := forge(t, "b", get(t, p), func(s string) string { return strings.ReplaceAll(s, `"1"`, `"9"`) })
	put(t, p, b)
	ap := filepath.Join(state, anchorsFile)
	var out []byte
	prev := genesis("anchors", "")
	for i, line := range bytes.Split(bytes.TrimSuffix(get(t, ap), []byte("\n")), []byte("\n")) {
		l, _ := parseLink(line)
		out, prev = appendLine(out, uint64(i), prev, bytes.ReplaceAll(l.body, []byte(old), []byte(head)))
	}
	put(t, ap, out)
	r, err := Verify(state, "b")
	if err != nil {
		t.Fatal(err)
	}
	if !hasFault(r, FaultAnchor, 0) {
		t.Errorf("the rewritten record passes: %+v", r.Faults)
	}
}

// Deleting the newest record of a name must not bring the older one to honour.
func TestMissingNewest(t *testing.T) {
	state := t.TempDir()
	for _, id := range []string{"r1", "r2"} {
		newRecord(t, state, id).Close(belljar.EndEvent{})
	}
	mustVerify(t, state, "r1", Ended)
	if err := os.RemoveAll(filepath.Dir(recordPath(state, "r2"))); err != nil {
		t.Fatal(err)
	}
	i, err := Find(state, "test")
	if err != nil || i.ID != "r1" {
		t.Fatalf("Find: %s, %v", i.ID, err)
	}
	r, err := Verify(state, i.ID)
	if err != nil || !hasFault(r, FaultMissing, 0) {
		t.Errorf("the older record: %+v, %v", r.Faults, err)
	}
	if err := os.RemoveAll(filepath.Dir(recordPath(state, "r1"))); err != nil {
		t.Fatal(err)
	}
	r, err = Verify(state, "test")
	if err != nil || r.ID != "r2" || r.Name != "test" || !hasFault(r, FaultMissing, 0) {
		t.Errorf("by name: %+v, %v", r, err)
	}
	all, err := VerifyAll(state)
	if err != nil || len(all) != 2 || all[0].OK() || all[1].OK() {
		t.Errorf("all: %+v, %v", all, err)
	}
}

// abandon does to a record what a kill of its process does.
func abandon(r *Record) {
	close(r.quit)
	<-r.stopped
	r.closeOnce.Do(func() {})
	r.file.Close()
	r.lock.Close()
}

func TestKilledRecord(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "dead")
	for i := range 3 {
		r.Record(t.Context(), execEvent(i))
	}
	abandon(r)
	raw := get(t, r.Path())
	put(t, r.Path(), append(slices.Clone(raw), `{"seq":4,"prev":"`...)) // a torn write
	rep := mustVerify(t, state, "dead", Killed)
	if notes := strings.Join(rep.Notes, "\n"); !strings.Contains(notes, "torn: 17 bytes") || !strings.Contains(notes, "last 40 ms") {
		t.Errorf("notes: %q", rep.Notes)
	}
	if i, err := Find(state, "dead"); err != nil || i.Status != Killed {
		t.Errorf("Find: %+v, %v", i, err)
	}

	next := newRecord(t, state, "next") // settles the dead one
	if got, want := readAll(t, next.Path(), Filter{})[0].Start.Previous, rep.Head; got != want {
		t.Errorf("the next record names %s, want %s", got, want)
	}
	mustVerify(t, state, "dead", Killed)
	mustVerify(t, state, "next", Running)
	next.Close(belljar.EndEvent{})

	// From now on a cut shows here too.
	torn := get(t, r.Path())
	for i := range torn {
		put(t, r.Path(), torn[:i])
		if !faulty(t, state) {
			t.Errorf("cut at %d does not show", i)
		}
	}
	put(t, r.Path(), torn)
	mustVerify(t, state, "dead", Killed)
	if marks, _ := os.ReadDir(filepath.Join(state, openDir)); len(marks) != 0 {
		t.Errorf("marks left: %v", marks)
	}
}

func TestKilledBetweenEndAndAnchor(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "late")
	close(r.quit)
	<-r.stopped
	r.turn <- struct{}{}
	if err := r.writeEnd(belljar.EndEvent{}); err != nil {
		t.Fatal(err)
	}
	r.release()
	r.closeOnce.Do(func() {})
	r.file.Close()
	r.lock.Close()
	mustVerify(t, state, "late", Ended)
	newRecord(t, state, "next").Close(belljar.EndEvent{})
	mustVerify(t, state, "late", Ended)
	mustVerify(t, state, "next", Ended)
}

func TestKilledInCreate(t *testing.T) {
	state := t.TempDir()
	newRecord(t, state, "a").Close(belljar.EndEvent{})
	// Before the folder was moved into place …
	put(t, filepath.Join(state, openDir, "b"), nil)
	if err := os.MkdirAll(newDir(state, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(newDir(state, "b"), eventsFile), []byte(`{"seq":0`))
	// … and before it was anchored.
	r := newRecord(t, state, "c")
	abandon(r)
	ap := filepath.Join(state, anchorsFile)
	lines := bytes.SplitAfter(get(t, ap), []byte("\n"))
	put(t, ap, append(bytes.Join(lines[:len(lines)-2], nil), `{"seq":2,"pr`...))
	mustVerify(t, state, "c", Killed)
	newRecord(t, state, "d").Close(belljar.EndEvent{})
	mustVerify(t, state, "c", Killed)
	if faulty(t, state) {
		all, _ := VerifyAll(state)
		t.Errorf("faults: %+v", all)
	}
	if _, err := os.Stat(newDir(state, "b")); !os.IsNotExist(err) {
		t.Errorf("the half-made record is still there: %v", err)
	}
}
