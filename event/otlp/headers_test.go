package otlp

import (
	"context"
	"fmt"
	"github.com/belljar-dev/belljar/internal/headers"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

const confinedArg0 = "otlp-test-confined"

// confined is a process that is confined as a sender is, and tells what it can read.
func confined(state, file string) {
	h := headers.Open(file)
	if err := confineTo(state); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	m, err := h.Read()
	fmt.Println(m, err, h.Replaced())
	_, err = os.ReadFile(filepath.Join(filepath.Dir(file), "neighbour"))
	fmt.Println("neighbour:", os.IsPermission(err))
	if err := os.Rename(file, file+".old"); !os.IsPermission(err) {
		fmt.Println("it may rename:", err)
	}
	os.Exit(0)
}

// A confined sender reads its headers, and no file beside them.
func TestConfinedHeaders(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"h": "A: b", "neighbour": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(state, queueDir), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := exec.CommandContext(ctx, "/proc/self/exe")
	c.Args = []string{confinedArg0, state, filepath.Join(dir, "h")}
	out, err := c.CombinedOutput()
	if want := "map[A:b] <nil> false\nneighbour: true\n"; err != nil || string(out) != want {
		t.Errorf("%s%v, want %s", out, err, want)
	}
}

// A file that took the place of the headers is read by the next sender: the one that cannot
// ends when the receiver refuses.
func TestReplacedHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte("Authorization: "+key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	state, rcv := t.TempDir(), newReceiver()
	var ok atomic.Bool
	rcv.answers(func(int, string, int) (int, bool) {
		if ok.Load() {
			return 0, false
		}
		return http.StatusUnauthorized, false
	})
	url := rcv.serve(t)
	d := Destination{Endpoint: url, Headers: file}
	r := newRecord(t, state, "a", url)
	if err := Enqueue(state, "a", d); err != nil {
		t.Fatal(err)
	}
	end(t, r)
	s := newSender(state, d, quick)
	write("new")
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	s.run(ctx)
	if ids, _ := waiting(state); ctx.Err() != nil || !slices.Equal(ids, []string{"a"}) {
		t.Fatalf("%q waits, %v", ids, ctx.Err())
	}
	ok.Store(true)
	newSender(state, d, quick).run(ctx)
	rcv.complete(t, "a", 2, nil)
	if got := rcv.header.Get("Authorization"); got != "new" {
		t.Errorf("%q", got)
	}
}

// What a power failure left of a note is mended, where it is known where to.
func TestMend(t *testing.T) {
	for _, broken := range []string{"", "{", "{}", "null"} {
		state, rcv := t.TempDir(), newReceiver()
		url := rcv.serve(t)
		end(t, newRecord(t, state, "a", url))
		end(t, newRecord(t, state, "b", url))
		note := filepath.Join(state, queueDir, "a")
		if err := os.WriteFile(note, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		end(t, newRecord(t, state, "c", "http://127.0.0.1:1"))
		if again, stuck, err := Mend(state); len(again) > 0 || strings.Join(stuck, " ") != "a" || err != nil {
			t.Errorf("%q, two receivers: %q %q %v", broken, again, stuck, err)
		}
		if err := os.Remove(filepath.Join(state, queueDir, "c")); err != nil {
			t.Fatal(err)
		}
		if again, stuck, err := Mend(state); strings.Join(again, " ") != "a" || len(stuck) > 0 || err != nil {
			t.Errorf("%q: %q %q %v", broken, again, stuck, err)
		}
		send(t, state, url)
		rcv.complete(t, "a", 2, nil)
		rcv.complete(t, "b", 2, nil)
	}
}
