package view

import (
	"sync"
	"sync/atomic"

	"github.com/belljar-dev/belljar/internal/ablate"
	"golang.org/x/sys/unix"
)

// perFile is what a name costs beyond its data, so that empty files are bounded too.
const perFile = 4096

// A quota bounds the bytes that a run adds to host and shadow together. Bytes are
// counted as the file system does (blocks), after the fact: what is under way when
// the limit is reached, at most a request per connection and worker, is overshoot.
type quota struct {
	max  int64
	used atomic.Int64
	once sync.Once
	full func(limit, used int64) // called once
}

// room is ENOSPC when nothing more may be added.
func (q *quota) room() error { return q.fits(0) }

// fits is ENOSPC when n bytes more would be too much.
func (q *quota) fits(n int64) error {
	used := q.used.Load()
	if used < q.max && n <= q.max-used || ablate.Off(ablate.Disk) {
		return nil
	}
	q.once.Do(func() { q.full(q.max, used) })
	return unix.ENOSPC
}

func (q *quota) add(n int64) {
	if n != 0 {
		q.used.Add(n)
	}
}

func (q *quota) left() int64 { return max(q.max-q.used.Load(), 0) }

// copied is what a copy of a file takes: holes are filled.
func copied(st *unix.Stat_t) int64 { return max(st.Blocks*512, st.Size) }
