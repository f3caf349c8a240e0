package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// begins prints how long a run takes to the first instruction of its command, to its end,
// and what processor time the command line's own process needs for it: cold, in a
// sandbox of a pool, and as a further command of one that runs.
func begins(b *bench) error {
	dir, err := b.tree(1)
	if err != nil {
		return err
	}
	cold, err := b.began(dir, b.start("--", "date", "+%s%N"), nil)
	if err != nil {
		return err
	}
	host, stop, err := b.waiting(dir)
	if err != nil {
		return err
	}
	over, err := b.began(dir, append([]string{b.belljar, "exec"}, host, "--", "date", "+%s%N"), nil)
	stop()
	if err != nil {
		return err
	}
	pool := []string{b.belljar, "pool", "start", "-n", "2"}
	if tier := os.Getenv("BELLJAR_BENCH_TIER"); tier != "" {
		pool = append(pool, "--tier", tier)
	}
	if out, err := b.words(dir, pool...); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	defer b.words(dir, b.belljar, "pool", "stop")
	warm, err := b.began(dir, b.start("--", "date", "+%s%N"), func() error { return b.full(dir, 2) })
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		of   beginning
		aim  string
	}{{"cold", cold, ""}, {"from a pool", warm, "<=20ms"}, {"exec, in one that runs", over, "<=20ms"}} {
		fmt.Printf("  %-32s begins %7.1f ms (%.2f)  ends %7.1f ms (%.2f)  own processor time %5.1f ms (%.2f)  %s\n",
			s.name, s.of.begin, s.of.begin/cold.begin, s.of.end, s.of.end/cold.end, s.of.spent, s.of.spent/cold.spent, s.aim)
	}
	return nil
}

// A beginning is one side, in milliseconds: medians.
type beginning struct{ begin, end, spent float64 }

// began runs a command line that prints the time several times; before is called before each.
func (b *bench) began(dir string, line []string, before func() error) (beginning, error) {
	var begin, end, spent []float64
	for i := range b.rounds + 1 {
		if before != nil {
			if err := before(); err != nil {
				return beginning{}, err
			}
		}
		c := exec.Command(line[0], line[1:]...)
		c.Dir = dir
		var errout bytes.Buffer
		c.Stderr = &errout
		start := time.Now()
		out, err := c.Output()
		if err != nil {
			return beginning{}, fmt.Errorf("%q: %w: %s", line, err, errout.String())
		}
		took := time.Since(start)
		ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			return beginning{}, err
		}
		if i == 0 {
			continue // caches
		}
		begin = append(begin, float64(ns-start.UnixNano())/1e6)
		end = append(end, float64(took)/1e6)
		spent = append(spent, float64(c.ProcessState.UserTime()+c.ProcessState.SystemTime())/1e6)
	}
	return beginning{median(begin), median(end), median(spent)}, nil
}

func (b *bench) words(dir string, line ...string) (string, error) {
	c := exec.Command(line[0], line[1:]...)
	c.Dir = dir
	var errout bytes.Buffer
	c.Stderr = &errout
	out, err := c.Output()
	return string(out) + errout.String(), err
}

// full waits until n sandboxes wait.
func (b *bench) full(dir string, n int) error {
	for range 600 {
		out, err := b.words(dir, b.belljar, "pool", "ls", "--json")
		if err != nil {
			return err
		}
		if strings.Contains(out, fmt.Sprintf(`"warm": %d,`, n)) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the pool is not filled again")
}

// waiting starts a detached sandbox, and returns its name.
func (b *bench) waiting(dir string) (name string, stop func(), err error) {
	out, err := b.words(dir, b.start("--detach", "--", "sleep", "600")...)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s", err, out)
	}
	name, _, _ = strings.Cut(out, "\n")
	return name, func() { _, _ = b.words(dir, b.belljar, "stop", "--grace", "0s", name) }, nil
}
