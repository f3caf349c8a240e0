package keeper

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A keeper that is there remembers the newest head that it was told of, for whoever asks; without one
// nothing is kept, and none is started.
func TestKeeperRemembersHeads(t *testing.T) {
	p := newProvider(t)
	o := household(t, p)
	none := DialHeads(t.Context(), o)
	none.Keep(1, strings.Repeat("a", 64))
	if _, _, ok := none.Last(); ok || keeperPID(o) != 0 {
		t.Error("a keeper was started for a head")
	}
	c := NewClient(o)
	defer c.Close()
	if _, _, err := c.Token(context.WithoutCancel(t.Context()), "claude", p.loginFile(t, time.Now().Add(time.Hour)), ""); err != nil {
		t.Fatal(err)
	}
	one, two := DialHeads(t.Context(), o), DialHeads(t.Context(), o)
	defer one.Close()
	if _, _, ok := two.Last(); ok {
		t.Error("it knows a head that nobody told")
	}
	one.Keep(7, strings.Repeat("a", 64))
	one.Keep(6, strings.Repeat("b", 64)) // it goes forward only
	one.Keep(9, "no hash")
	if seq, head, ok := two.Last(); !ok || seq != 7 || head != strings.Repeat("a", 64) {
		t.Errorf("%d %q %v", seq, head, ok)
	}
	// Its death is no error, and nobody waits for it.
	if err := syscall.Kill(keeperPID(o), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	one.Keep(8, strings.Repeat("c", 64))
	if _, _, ok := two.Last(); ok {
		t.Error("a keeper that is gone answers")
	}
	for range 2 { // closing again is no error
		if err := two.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzHeads(f *testing.F) {
	f.Add([]byte(`{"op":"keep-head","seq":18446744073709551615,"head":"` + strings.Repeat("a", 64) + `"}`))
	f.Add([]byte(`{"op":"last-head"}`))
	f.Add([]byte(`{"op":"token","OP":"last-head"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		h := heads{last: headReply{true, 5, strings.Repeat("b", 64)}}
		r, mine := h.answer(line)
		if mine && (r.Seq < 5 || len(r.Head) != 64) {
			t.Errorf("%q: %+v", line, r)
		}
		if _, _, err := parseRequest(line); mine && err == nil {
			t.Errorf("%q is two requests", line)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}
