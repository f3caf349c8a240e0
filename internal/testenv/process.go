package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Children lists the processes that pid has started and that are there now, as
// /proc/PID/task/TID/children tells (proc(5)): none for a process that is gone.
func Children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, c := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(c); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// Descendants lists the processes below pid, parents first.
func Descendants(pid int) []int {
	out := Children(pid)
	for i := 0; i < len(out); i++ {
		out = append(out, Children(out[i])...)
	}
	return out
}
