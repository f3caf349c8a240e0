package event

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSymlinksAreNotFollowed(t *testing.T) {
	state := attackState(t)
	p := recordPath(state, "b")
	away := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(p, away); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(away, p); err != nil {
		t.Fatal(err)
	}
	if rep, err := Verify(state, "b"); err != nil || rep.OK() || rep.Events > 0 {
		t.Errorf("a symlink was followed: %+v, %v", rep, err)
	}
	for _, err := range Read(p, Filter{}) {
		if err == nil {
			t.Fatal("Read followed a symlink")
		}
	}
}

func TestLockedAnchorsAreToldAfterAWhile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := lockWithin(g, unix.LOCK_EX, 5e6); err == nil {
		t.Error("two processes have the lock")
	}
	g.Close()
	f.Close()
	h, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := lockWithin(h, unix.LOCK_EX, time.Minute); err != nil {
		t.Error(err)
	}
}

func TestManyFaultsAreBounded(t *testing.T) {
	state := attackState(t)
	put(t, recordPath(state, "b"), bytes.Repeat([]byte("x\n"), 5000))
	r, err := Verify(state, "b")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Faults) != maxFaults || r.More < 4000 {
		t.Errorf("%d faults and %d more", len(r.Faults), r.More)
	}
}

// Many at once: everyone is served.
func TestLockIsFairToMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var inside atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			f, err := os.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if err := lockWithin(f, unix.LOCK_EX, time.Minute); err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 {
				t.Error("two have the lock")
			}
			inside.Add(-1)
		})
	}
	all.Wait()
}
