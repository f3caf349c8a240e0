package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// handedDown are the lines of /proc/self/status that tell what processes get from those
// that start them.
var handedDown = []string{
	"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed", "Mems_allowed",
}

// inherits is what a sandbox that starts here gets from its caller: resource limits, what
// the caller may do, processors, the label of a security module. Priorities and control
// groups are left out: each tab of a terminal may have a group of its own.
func inherits() []string {
	var out []string
	for r := range unix.RLIMIT_RTTIME + 1 {
		var l unix.Rlimit
		err := unix.Prlimit(0, r, nil, &l)
		out = append(out, fmt.Sprint(r, l.Cur, l.Max, err))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		out = append(out, err.Error())
	}
	for l := range strings.Lines(string(status)) {
		if name, _, _ := strings.Cut(l, ":"); slices.Contains(handedDown, name) {
			out = append(out, l)
		}
	}
	label, _ := os.ReadFile("/proc/self/attr/current") // there may be no security module
	return append(out, string(label))
}
