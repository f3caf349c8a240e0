package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// The large repository (rows of about ten minutes): what a day with git costs in one of 100 000 files, and what
// belljar's own commands on the project cost then. The host works on a copy.
const (
	largeFiles  = 100_000
	largeRounds = 5
	largeFor    = time.Minute // after which a piece of work is not begun again
	edit100     = "for i in $(seq 100); do echo x >>d$i/f$((i*50)); done"
)

// A piece of work is prepared, timed and tidied up after in the same shell.
type largePiece struct {
	name, before, line, after, aim string
}

var largePieces = []largePiece{
	{name: "git status", line: "git status", aim: "<=5/1.15"},
	{name: "rg over all", line: "rg nothing-like-this . || true", aim: "<=5/1.15"},
	{name: "git add -A, commit of 100", before: edit100, line: "git add -A && git commit -qm x"},
	{name: "git stash, stash pop of 100", before: edit100, line: "git stash -q && git stash pop -q", after: "git checkout -q ."},
	{name: "git checkout -b, rebase",
		before: "git checkout -q main~1 && echo $i >new && git add new && git commit -qm new",
		line:   "git checkout -q -B x && git rebase -q main", after: "git checkout -q main"},
	{name: "git gc", line: "git gc -q"},
}

// A largeSide is a shell that works on commands for as long as the row takes: a warm one.
type largeSide struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errout bytes.Buffer
}

const largeShell = `export GIT_AUTHOR_NAME=b GIT_AUTHOR_EMAIL=b@b GIT_COMMITTER_NAME=b GIT_COMMITTER_EMAIL=b@b
i=0; while read -r line; do i=$((i+1)); s=$(date +%s%N); eval "$line" >/dev/null 2>&1; c=$?; e=$(date +%s%N); echo $c $(( (e-s)/1000 )); done`

func newLargeSide(dir string, args ...string) (*largeSide, error) {
	args = append(args, "sh", "-c", largeShell)
	s := &largeSide{cmd: exec.Command(args[0], args[1:]...)}
	s.cmd.Dir, s.cmd.Stderr = dir, &s.errout
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.in, s.out = in, bufio.NewReader(out)
	return s, s.cmd.Start()
}

// close ends the shell.
func (s *largeSide) close() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // the status is that of read
}

// do runs a line and tells its milliseconds, and those of processor time of all processes.
func (s *largeSide) do(line string) (ms, cpu float64, err error) {
	if line == "" {
		return 0, 0, nil
	}
	from, err := family(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		return 0, 0, err
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w: %s", line, err, s.errout.String())
	}
	to, err := family(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	var status, us int
	if _, err := fmt.Sscan(answer, &status, &us); err != nil {
		return 0, 0, fmt.Errorf("%s: %q: %w", line, answer, err)
	}
	if status != 0 {
		return 0, 0, fmt.Errorf("%s: exit status %d", line, status)
	}
	return float64(us) / 1000, float64((to - from).Microseconds()) / 1000, nil
}

// largeRepo is the repository for one side.
func (b *bench) largeRepo(side string) (string, error) {
	dir := filepath.Join(b.dir, "large-"+side)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	from, err := b.repo(largeFiles)
	if err != nil {
		return "", err
	}
	c := exec.Command("sh", "-ec", `cp -a "$1" "$2"; cd "$2"; git checkout -q -B main; git config gc.auto 0; git status >/dev/null`, "sh", from, dir)
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
}

// largeRepository is the row.
func largeRepository(b *bench) error {
	here, err := b.largeRepo("host")
	if err != nil {
		return err
	}
	there, err := b.largeRepo("sandbox")
	if err != nil {
		return err
	}
	host, err := newLargeSide(here)
	if err != nil {
		return err
	}
	defer host.close()
	ours, err := newLargeSide(there, b.start("--")...)
	if err != nil {
		return err
	}
	defer ours.close()
	for _, p := range largePieces {
		if err := p.compare(ours, host); err != nil {
			fmt.Printf("  %-32s not measured: %v\n", p.name, err)
		}
	}
	kb := 0
	for _, pid := range append(testenv.Descendants(ours.cmd.Process.Pid), ours.cmd.Process.Pid) {
		kb += pss(pid)
	}
	fmt.Printf("  %-32s %10.1f %10s %-6s\n", "memory, PSS of everything", float64(kb)/1024, "-", "MB")
	return nil
}

// compare does the piece on both sides, turn about, and prints the medians.
func (p *largePiece) compare(ours, host *largeSide) error {
	var ms, cpu [2][]float64
	start := time.Now()
	for round := range largeRounds + 1 {
		if round > 1 && time.Since(start) > largeFor {
			break
		}
		for i, s := range []*largeSide{ours, host} {
			if _, _, err := s.do(p.before); err != nil {
				return err
			}
			m, c, err := s.do(p.line)
			if err != nil {
				return err
			}
			if _, _, err := s.do(p.after); err != nil {
				return err
			}
			if round > 0 { // the first fills caches
				ms[i], cpu[i] = append(ms[i], m), append(cpu[i], c)
			}
		}
	}
	a, z := median(ms[0]), median(ms[1])
	fmt.Printf("  %-32s %10.1f %10.1f %-6s %7.2f  %-10s the same on the host; processor %.0f and %.0f ms; %d rounds\n",
		p.name, a, z, "ms", a/z, p.aim, median(cpu[0]), median(cpu[1]), len(ms[0]))
	return nil
}

// largeReview times belljar's own commands when few and when many files of the large
// repository wait.
func largeReview(b *bench) error {
	dir, err := b.largeRepo("review")
	if err != nil {
		return err
	}
	for _, n := range []int{100, 10_000} {
		change := fmt.Sprintf("for d in d*; do for f in $d/*; do n=$((n+1)); [ $n -gt %d ] && exit 0; echo x >>$f; done; done", n)
		run := b.start("--mode", "review", "--", "sh", "-c", change)
		for _, s := range []struct {
			name string
			args []string
		}{
			{"run that changes them", run}, {"diff", []string{b.belljar, "diff"}}, {"diff --name-only", []string{b.belljar, "diff", "--name-only"}},
			{"apply", []string{b.belljar, "apply"}}, {"undo", []string{b.belljar, "undo"}}, {"discard", []string{b.belljar, "discard"}},
		} {
			ms, cpu, err := once(dir, s.args)
			if err != nil {
				return fmt.Errorf("%s of %d: %w", s.name, n, err)
			}
			fmt.Printf("  %-32s %10.0f %10s %-6s %7s  %-10s processor %.0f ms\n", fmt.Sprintf("%s, %d files", s.name, n), ms, "-", "ms", "", "", cpu)
		}
	}
	c := exec.Command("sh", "-c", "git status --porcelain") // in what the benchmark made itself
	c.Dir = dir
	if out, err := c.Output(); err != nil || len(strings.TrimSpace(string(out))) > 0 {
		return errors.Join(err, fmt.Errorf("after undo and discard the project is not as it was: %.300s", out))
	}
	return nil
}

// once runs a program of ours to its end.
func once(dir string, args []string) (ms, cpu float64, err error) {
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	var errout bytes.Buffer
	c.Stderr = &errout
	start := time.Now()
	if err := c.Run(); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, errout.String())
	}
	used := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return float64(time.Since(start).Microseconds()) / 1000, float64(used.Microseconds()) / 1000, nil
}
