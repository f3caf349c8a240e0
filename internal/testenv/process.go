package testenv

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"
)

// A process is one line of the list of processes.
type process struct {
	pid, parent int
	started     int64 // in ticks since the machine started
}

// processes is the list of all processes, oldest first. One that is there during the
// whole call is in it: unlike the list that the kernel keeps of a process's children,
// which misses some while others end (proc(5)).
func processes() []process {
	entries, _ := os.ReadDir("/proc")
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		f := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:]) // a name contains anything
		if len(f) < 20 {
			continue
		}
		parent, _ := strconv.Atoi(string(f[1]))
		started, _ := strconv.ParseInt(string(f[19]), 10, 64)
		out = append(out, process{pid, parent, started})
	}
	slices.SortFunc(out, func(a, b process) int {
		return cmp.Or(cmp.Compare(a.started, b.started), cmp.Compare(a.pid, b.pid))
	})
	return out
}

// Children lists the processes that pid has started and that are there now, ended
// ones that nobody collected among them, oldest first: numbers come in any order.
func Children(pid int) []int { return childrenOf(processes(), pid) }

func childrenOf(all []process, pid int) []int {
	var out []int
	for _, p := range all {
		if p.parent == pid {
			out = append(out, p.pid)
		}
	}
	return out
}

// Descendants lists the processes below pid, parents first.
func Descendants(pid int) []int {
	all := processes()
	out := childrenOf(all, pid)
	for i := 0; i < len(out); i++ {
		out = append(out, childrenOf(all, out[i])...)
	}
	return out
}
