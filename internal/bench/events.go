package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/internal/ablate"
)

// eventPairs is how many runs of each sort are compared.
const eventPairs = 5

// withEvents compares work in a sandbox whose events are recorded with the same in one of which
// nothing is: in a test build, which has a switch for that. What is compared is the processor
// time of everything, turn about, and the ratio is that of each pair: a machine that does other
// things meanwhile changes clocks, and not that.
func withEvents(work func(*bench) (float64, float64, string, string, error)) func(*bench) (float64, float64, string, string, error) {
	return func(b *bench) (float64, float64, string, string, error) {
		other := os.Getenv("BELLJAR_BENCH_ABLATION")
		if other == "" {
			return 0, 0, "", "", errors.New("BELLJAR_BENCH_ABLATION does not name the test build (make bench builds it)")
		}
		other, err := filepath.Abs(other)
		if err != nil {
			return 0, 0, "", "", err
		}
		var on, ratios []float64
		for n := range eventPairs + 1 {
			var ms [2]float64
			for i := range ms {
				side := (i + n) % 2 // neither is always the first
				c := *b
				c.belljar, c.whole = other, true
				c.env = []string{"BELLJAR_ABLATE=" + []string{"nothing", ablate.Record}[side]}
				if ms[side], _, _, _, err = work(&c); err != nil {
					return 0, 0, "", "", err
				}
			}
			if n > 0 { // the first fills caches
				on, ratios = append(on, ms[0]), append(ratios, ms[0]/ms[1])
			}
		}
		with := median(on)
		return with, with / median(ratios), "ms CPU", "the same without a record", nil
	}
}

// processors runs a program that prints a line when its work is done and ends with its input, and
// tells the processor time of all its processes at that moment, in milliseconds. Afterwards it
// could not be known: a tier's processes are not all waited for.
func (b *bench) processors(dir string, args ...string) (float64, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), b.env...)
	var errout bytes.Buffer
	cmd.Stderr = &errout
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	used, err := family(cmd.Process.Pid)
	_ = in.Close()
	_ = cmd.Wait() // what read says at the end of its input
	switch {
	case err != nil:
		return 0, err
	case line != "done\n":
		return 0, fmt.Errorf("%q printed %q: %s", args, line, errout.String())
	}
	return float64(used.Microseconds()) / 1000, nil
}

// family is the processor time of a process, of all below it, and of those that these waited for.
func family(root int) (time.Duration, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	type process struct{ parent, ticks int }
	all := map[int]process{}
	for _, at := range dirs {
		text, err := os.ReadFile(at)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(at)))
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		p := process{}
		p.parent, _ = strconv.Atoi(f[1])
		for _, s := range f[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.Atoi(s)
			p.ticks += n
		}
		all[pid] = p
	}
	ticks := 0
	for pid, p := range all {
		for at, n := pid, 0; at > 1 && n < len(all); at, n = all[at].parent, n+1 {
			if at == root {
				ticks += p.ticks
				break
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 everywhere
}
