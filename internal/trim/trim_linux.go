package trim

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Program lets go of the read-only pages of the running program. Failures are of
// no consequence and not told.
func Program() {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		// 00400000-00800000 r-xp 00000000 fd:00 1234   /usr/bin/belljar
		w := strings.Fields(s.Text())
		if len(w) < 6 || !strings.HasPrefix(w[5], "/") || w[1][1] != '-' || w[1][0] != 'r' {
			continue
		}
		from, to, _ := strings.Cut(w[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && a < b {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(a), uintptr(b-a), unix.MADV_DONTNEED)
		}
	}
}
