package meter

import (
	"strings"
	"testing"
)

const (
	smaps = "7f00-7f10 rw-s 00000000 00:01 55   /memfd:x (deleted)\nSize: 100 kB\nPss:  40 kB\n" +
		"7f20-7f30 rw-s 00000000 00:01 66   /memfd:seen (deleted)\nPss:  1000 kB\n" +
		"7f40-7f50 rw-s 00000000 00:01 77   /dev/zero (deleted)\nPss:  8 kB\n" +
		"7f60-7f70 r--p 00000000 08:01 88   /usr/lib/x\nPss:  5 kB\n"
)

func TestParse(t *testing.T) {
	if got, err := sharedOf(strings.NewReader(smaps), map[inode]int64{{1, 66}: 1}); got != 48<<10 || err != nil {
		t.Errorf("smaps: %d %v", got, err)
	}
	const segments = "key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap\n" +
		" 0 1 600 8388608 17 17 0 1 1 1 1 2 3 4 4096 0\n 0 2 600 8388608 17 17 0 1 1 1 1 2 3 4 8192 0\n"
	if got, other := objectsIn(segments); got != 12288 || other != 0 {
		t.Errorf("segments: %d, %d", got, other)
	}
	const queues = "key msqid perms cbytes qnum lspid lrpid uid gid cuid cgid stime rtime ctime\n 0 1 600 1000 10 17 0 1 1 1 1 2 3 4\n"
	if segments, got := objectsIn(queues); got != 256+1000+960 || segments != 0 {
		t.Errorf("queues: %d, %d", got, segments)
	}
	const sets = "key semid perms nsems uid gid cuid cgid otime ctime\n 0 1 600 100 1 1 1 1 2 3\n 0 2 600 1 1 1 1 1 2 3\n"
	if segments, got := objectsIn(sets); got != 2*256+101*64 || segments != 0 {
		t.Errorf("sets: %d, %d", got, segments)
	}
}

// FuzzProcess: names of programs and of memory files are chosen inside.
func FuzzProcess(f *testing.F) {
	f.Add([]byte("socket"), smaps)
	f.Add([]byte("1 (x"), "-\nPss:\n")
	f.Add([]byte("0"), "Size:10000000000000000")
	f.Add([]byte{}, "a-b c d e f /memfd:\nPss: x kB\n")
	f.Fuzz(func(t *testing.T, stat []byte, maps string) {
		_, _ = sharedOf(strings.NewReader(maps), nil)
		objectsIn(maps)
		for _, k := range []struct {
			size int
			attr uint16
		}{{diagMsgSize, diagMemory}, {diagInetMsgSize, diagInetMemory}} {
			if sum, _ := buffersIn(stat, k.size, k.attr); sum < 0 {
				t.Errorf("buffers of %d bytes", sum)
			}
		}
		for line := range strings.SplitSeq(maps, "\n") {
			if _, end := sharedMapping(line); end < 0 {
				t.Errorf("%q ends at %d", line, end)
			}
		}
		if kilobytes(maps, "Size:") < 0 {
			t.Error("a negative size")
		}
	})
}
