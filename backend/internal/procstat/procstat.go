// Package procstat reads the line that /proc/PID/stat holds of a process. See
// proc_pid_stat(5).
//
// # Limitations
//
// Times have the grain of the kernel's clock tick, a hundredth of a second.
package procstat

import (
	"bytes"
	"strconv"
	"time"
)

// Tick is the unit of the times in the line: USER_HZ, which is the same on every
// architecture that belljar is built for.
const Tick = time.Second / 100

// A Stat is what the line says of a process.
type Stat struct {
	State   byte // R, S, D, Z, T, …
	Parent  int
	CPU     time.Duration // used by the process, and by those of its children that ended and were collected
	Threads int
}

// Parse reads a line; ok is false when it is none. What the process writes into its
// own line, its name, may hold anything and ends with the last parenthesis.
func Parse(line []byte) (s Stat, ok bool) {
	f := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(f) < 18 || len(f[0]) != 1 {
		return Stat{}, false
	}
	s = Stat{State: f[0][0], Parent: int(number(f[1])), Threads: int(number(f[17]))}
	for _, times := range f[11:15] { // user, system, and those of children
		s.CPU += time.Duration(number(times)) * Tick
	}
	return s, true
}

// number is never negative, and so small that a sum of them fits.
func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	const most = 1 << 36 // twenty years of ticks
	return min(max(n, 0), most)
}
