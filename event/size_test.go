package event

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// What all records have together is known without a look at each: after records that
// were made, closed and removed it is what a look at each finds.
func TestSize(t *testing.T) {
	state := t.TempDir()
	same := func(when string) int64 {
		t.Helper()
		n, err := Size(state)
		if err != nil {
			t.Fatal(err)
		}
		var want int64
		list, err := List(state)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			want += i.Bytes
		}
		if n != want {
			t.Errorf("%s: %d bytes, want %d", when, n, want)
		}
		return n
	}
	same("before the first")
	r := newRecord(t, state, "first")
	same("one that is being written")
	r.Close(belljar.EndEvent{})
	first := same("one that has ended")
	if first == 0 {
		t.Error("a record has no bytes")
	}
	r = newRecord(t, state, "second")
	r.Close(belljar.EndEvent{})
	open := newRecord(t, state, "third")
	if n := same("three"); n <= first {
		t.Errorf("three records have %d bytes, one has %d", n, first)
	}
	if err := Remove(state, r.ID()); err != nil {
		t.Fatal(err)
	}
	same("after the second was removed")
	if err := os.WriteFile(filepath.Join(state, sizeFile), []byte("{\"bytes\":-"), 0o600); err != nil {
		t.Fatal(err)
	}
	same("what was kept is damaged")
	open.Close(belljar.EndEvent{})
	if err := os.RemoveAll(filepath.Dir(recordPath(state, open.ID()))); err != nil {
		t.Fatal(err)
	}
	if _, err := Recount(state); err != nil {
		t.Fatal(err)
	}
	same("counted again, after one was taken away")
}

// With ten thousand records a start asks for their size in less than five milliseconds.
func TestSizeOfMany(t *testing.T) {
	if os.Getenv("BELLJAR_SOAK") == "" {
		t.Skip("makes ten thousand records; BELLJAR_SOAK=1 runs it")
	}
	state := t.TempDir()
	for i := range 10_000 {
		newRecord(t, state, "r"+strconv.Itoa(i)).Close(belljar.EndEvent{})
	}
	timed := func(what string, f func(string) (int64, error)) time.Duration {
		best := time.Hour
		for range 5 {
			at := time.Now()
			if _, err := f(state); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(at))
		}
		t.Logf("%s: %v", what, best)
		return best
	}
	timed("list", func(s string) (int64, error) { _, err := List(s); return 0, err })
	timed("recount", Recount)
	if d := timed("size", Size); d > 5*time.Millisecond {
		t.Errorf("the size takes %v", d)
	}
}
