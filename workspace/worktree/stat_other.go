//go:build !linux

package worktree

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// indexStat leaves the times out: git looks at the file once more.
func indexStat(st *unix.Stat_t, mode uint32) (out [40]byte) {
	binary.BigEndian.PutUint32(out[24:], mode)
	binary.BigEndian.PutUint32(out[36:], uint32(st.Size))
	return out
}

func settle(fd int) error { return unix.Fsync(fd) }

// modified is when a file was last changed: not known.
func (l *found) modified() int64 { return -1 }
