package pages

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lowAddresses is where a program lies that is not moved when it is loaded.
const lowAddresses = 1 << 32

// A span is a part of this program's file in memory whose pages are those of the file.
type span struct{ start, end uintptr }

// clean lists what of the running program is mapped and as it is in the file. A
// loader writes addresses into pages that are read-only afterwards (RELRO): those of
// libraries, of programs that are moved, and of every program with a C library. They
// must stay, so that only code counts there.
func clean() []span {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	var out []span
	for line := range strings.SplitSeq(string(maps), "\n") {
		// 00400000-00800000 r-xp 00000000 fd:00 1234   /usr/bin/belljar
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != exe || strings.Contains(f[1], "w") {
			continue
		}
		lo, hi, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(lo, 16, 64)
		end, err2 := strconv.ParseUint(hi, 16, 64)
		code := strings.Contains(f[1], "x")
		if err1 == nil && err2 == nil && (code || !hasCLibrary && start < lowAddresses) {
			out = append(out, span{uintptr(start), uintptr(end)})
		}
	}
	return out
}

// forget takes the pages of spans out of this process's memory. They stay in the
// page cache, and come back when they are touched.
func forget(spans []span) {
	for _, s := range spans {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.start, s.end-s.start, unix.MADV_DONTNEED)
	}
}
