package view

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Only an ordinary file of a watched directory that has one name and rests is believed
// for longer than all else.
func TestPatience(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	seen, unseen := &node{}, &node{}
	unseen.blind.Store(true)
	for _, c := range []struct {
		what  string
		dir   *node
		mode  uint32
		links uint64
		still time.Duration
		want  time.Duration
	}{
		{"rests", seen, unix.S_IFREG, 1, time.Hour, steadyFor},
		{"rested a while", seen, unix.S_IFREG, 1, time.Minute, time.Minute},
		{"just changed", seen, unix.S_IFREG, 1, 0, watchedFor},
		{"changed in the future", seen, unix.S_IFREG, 1, -time.Hour, watchedFor},
		{"has another name", seen, unix.S_IFREG, 2, time.Hour, watchedFor},
		{"has no name", seen, unix.S_IFREG, 0, time.Hour, watchedFor},
		{"a folder", seen, unix.S_IFDIR, 1, time.Hour, watchedFor},
		{"a link", seen, unix.S_IFLNK, 1, time.Hour, watchedFor},
		{"in a directory that cannot be watched", unseen, unix.S_IFREG, 1, time.Hour, blindFor},
	} {
		st := unix.Stat_t{Mode: c.mode, Nlink: c.links, Ctim: unix.NsecToTimespec(now.Add(-c.still).UnixNano())}
		if got := time.Duration(c.dir.patienceWith(&st, now)) * time.Second; got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
