package startup

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A span is a part of this program's file in memory that is never written.
type span struct{ start, end uintptr }

// readOnly lists what of the running program is mapped and cannot be written.
func readOnly() []span {
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
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != exe || strings.Contains(f[1], "w") {
			continue
		}
		lo, hi, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(lo, 16, 64)
		end, err2 := strconv.ParseUint(hi, 16, 64)
		if err1 == nil && err2 == nil {
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
