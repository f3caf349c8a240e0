// Command bench measures belljar beside what it is compared with: both sides in
// one run, interleaved, medians, and prints the ratios of the design's table.
//
//	bench BELLJAR [ROW…]
//
// BELLJAR_BENCH_TIER names the tier of the sandboxes; without it belljar picks one. The
// aims of a row that has two are those of the tier with a kernel of its own, then of
// the other.
//
// # Limitations
//
// Machines are noisy: read the ratios, not the milliseconds. A row whose other
// side is not installed says so.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A row compares one thing.
type row struct {
	name string
	aim  string
	run  func(*bench) (ours, theirs float64, unit, with string, err error)
	// lines prints a line for each of several sides, in place of run.
	lines func(*bench) error
}

type bench struct {
	belljar string
	dir     string // scratch
	rounds  int
	spent   time.Duration // see inside
	env     []string      // of what is measured, besides our own
	whole   bool          // see inside
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: bench BELLJAR [ROW…]")
		os.Exit(2)
	}
	if err := role(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// role is what this program is: the benchmark, or another end of it.
func role(word string, rest []string) error {
	switch {
	case word == clientWord && len(rest) == 2:
		return client(rest[0], rest[1])
	case word == serverWord && len(rest) == 1:
		return server(rest[0])
	case word == gateWord && len(rest) == 3:
		return gate(rest[0], rest[1], rest[2])
	case word == tunnelWord && len(rest) == 0:
		return tunnel()
	case word == mitmWord && len(rest) == 1:
		return mitm(rest[0])
	}
	return measure(word, rest)
}

func measure(belljar string, want []string) error {
	belljar, err := filepath.Abs(belljar) // it is started in other folders
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(home, "belljar-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{belljar: belljar, dir: dir, rounds: 15}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load at the start: %s", load)
	fmt.Printf("%-34s %10s %10s %-6s %7s  %-10s %s\n", "WORK", "BELLJAR", "OTHER", "UNIT", "RATIO", "AIM", "COMPARED WITH")
	for _, r := range rows() {
		if len(want) > 0 && !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(r.name, w) }) {
			continue
		}
		if r.lines != nil {
			fmt.Printf("%s\n", r.name)
			if err := r.lines(b); err != nil {
				fmt.Printf("%-34s not measured: %v\n", r.name, err)
			}
			continue
		}
		ours, theirs, unit, with, err := r.run(b)
		if err != nil {
			fmt.Printf("%-34s not measured: %v\n", r.name, err)
			continue
		}
		fmt.Printf("%-34s %10.1f %10.1f %-6s %7.2f  %-10s %s\n", r.name, ours, theirs, unit, ours/theirs, r.aim, with)
	}
	return nil
}

// start is the command line of a run with the flags and the command.
func (b *bench) start(args ...string) []string {
	line := []string{b.belljar, "run"}
	if tier := os.Getenv("BELLJAR_BENCH_TIER"); tier != "" {
		line = append(line, "--tier", tier)
	}
	return append(line, args...)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// compare times two commands, turn about.
func (b *bench) compare(dir string, ours, theirs []string) (float64, float64, error) {
	var a, c []float64
	for i := range b.rounds + 1 {
		for side, args := range [][]string{ours, theirs} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = dir
			var errout bytes.Buffer
			cmd.Stderr = &errout
			start := time.Now()
			if err := cmd.Run(); err != nil {
				return 0, 0, fmt.Errorf("%q: %w: %s", args, err, errout.String())
			}
			ms := float64(time.Since(start).Microseconds()) / 1000
			if i == 0 {
				continue // caches
			}
			if side == 0 {
				a = append(a, ms)
			} else {
				c = append(c, ms)
			}
		}
	}
	return median(a), median(c), nil
}

// inside times a shell line several times in one sandbox and on the host. Both
// sides print the milliseconds of each round. b.spent is then the processor time of a
// round in the process that owns the sandbox.
//
// With b.whole it runs the line once, in a sandbox only, and tells the milliseconds of processor time
// of all processes of that run, from its start to the end of the line.
func (b *bench) inside(dir, line string, flags ...string) (float64, float64, error) {
	if b.whole {
		ours, err := b.processors(dir, b.start(append(flags, "--", "sh", "-c", "{ "+line+"; } >/dev/null 2>&1; echo done; read end")...)...)
		return ours, 0, err
	}
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do s=$(date +%%s%%N); { %s; } >/dev/null 2>&1; e=$(date +%%s%%N); echo ms $(( (e-s)/1000 )); i=$((i+1)); done`, b.rounds+1, line)
	theirs, err := b.printed(dir, "sh", "-c", script)
	if err != nil {
		return 0, 0, err
	}
	ours, err := b.printed(dir, b.start(append(flags, "--", "sh", "-c", script)...)...)
	return ours, theirs, err
}

// printed is the median of the milliseconds that a program prints, without the first.
func (b *bench) printed(dir string, args ...string) (float64, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), b.env...)
	var errout bytes.Buffer
	cmd.Stderr = &errout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var ms []float64
	var first, last time.Duration
	for s := bufio.NewScanner(out); s.Scan(); {
		us, err := strconv.ParseFloat(strings.TrimPrefix(s.Text(), "ms "), 64)
		if err != nil {
			continue
		}
		last = spent(cmd.Process.Pid)
		if ms = append(ms, us/1000); len(ms) == 1 {
			first = last
		}
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, errout.String())
	}
	if len(ms) < 2 {
		return 0, errors.New("no figures")
	}
	b.spent = (last - first) / time.Duration(len(ms)-1)
	return median(ms[1:]), nil
}

// tree makes a git repository of n small files.
func (b *bench) tree(n int) (string, error) {
	dir := filepath.Join(b.dir, "tree"+strconv.Itoa(n))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	for i := range n {
		sub := filepath.Join(dir, "d"+strconv.Itoa(i/50))
		if i%50 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return "", err
			}
		}
		if err := os.WriteFile(filepath.Join(sub, "f"+strconv.Itoa(i)), []byte(strings.Repeat("line of text\n", 40)), 0o644); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, nil
}

// repo is a tree under git. The benchmark runs git on what it made itself.
func (b *bench) repo(n int) (string, error) {
	dir, err := b.tree(n)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		return dir, nil
	}
	c := exec.Command("sh", "-c", "git init -q . && git add -A && git -c user.name=b -c user.email=b@b commit -qm b")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
}
