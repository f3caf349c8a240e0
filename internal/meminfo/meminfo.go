// Package meminfo reads figures of /proc/meminfo (proc_meminfo(5)).
package meminfo

import (
	"bytes"
	"os"
	"strconv"
)

// Read gives the figures of those names, in bytes; false when the host does not tell all of
// them.
func Read(names ...string) ([]int64, bool) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, false
	}
	return parse(info, names)
}

func parse(info []byte, names []string) ([]int64, bool) {
	out := make([]int64, 0, len(names))
	for _, name := range names {
		n, ok := figure(info, name)
		if !ok {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// figure is that of the line that begins with name and a colon.
func figure(info []byte, name string) (int64, bool) {
	for line := range bytes.Lines(info) {
		rest, ok := bytes.CutPrefix(line, []byte(name+":"))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) != 2 || string(f[1]) != "kB" {
			return 0, false
		}
		n, err := strconv.ParseInt(string(f[0]), 10, 64)
		return n << 10, err == nil
	}
	return 0, false
}
