package worktree

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// indexStat is how git's index notes what a file looks like.
func indexStat(st *unix.Stat_t, mode uint32) (out [40]byte) {
	for i, v := range []uint32{
		uint32(st.Ctim.Sec), uint32(st.Ctim.Nsec), uint32(st.Mtim.Sec), uint32(st.Mtim.Nsec),
		uint32(st.Dev), uint32(st.Ino), mode, st.Uid, st.Gid, uint32(st.Size),
	} {
		binary.BigEndian.PutUint32(out[4*i:], v)
	}
	return out
}

// settle has the kernel write what lies in the file system of fd.
func settle(fd int) error { return unix.Syncfs(fd) }

// modified is when a file was last changed, in seconds.
func (l *found) modified() int64 { return l.stat.Mtim.Nano() / 1e9 }
