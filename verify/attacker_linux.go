package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// attackWord is the first word of the attacker's command line: then comes what to
// do, and IDs of rows.
const attackWord = "verify-attack"

// Reexec plays the attacker, or a part of a world, when args says so. It does not
// return then; otherwise it returns false. Called before the command line is parsed.
func Reexec(args []string) bool {
	switch {
	case len(args) > 0 && args[0] == argvInternet:
		runInternet()
	case len(args) > 0 && args[0] == argvVictim:
		runVictim()
	case len(args) > 2 && args[1] == attackWord && args[2] == "all":
		newAttacker().all(args[3:])
	case len(args) == 4 && args[1] == attackWord && args[2] == "one":
		newAttacker().one(args[3])
	case len(args) == 3 && args[1] == attackWord && args[2] == "packet":
		openPacketSocket()
	default:
		return false
	}
	os.Exit(0)
	return true
}

// An attacker runs rows and says what it found.
type attacker struct {
	home, project string

	mu  sync.Mutex
	out io.Writer

	ctx  context.Context
	keep []io.Closer // guarded by mu: open until the end
}

func newAttacker() *attacker {
	dir, _ := os.Getwd()
	return &attacker{home: os.Getenv("HOME"), project: dir, out: os.Stdout, ctx: context.Background()}
}

func (a *attacker) say(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = io.WriteString(a.out, "\n"+line) // on a line of its own, whatever a terminal echoed
}

// holding keeps c open until everything was looked at.
func (a *attacker) holding(c io.Closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep = append(a.keep, c)
}

// all runs the rows: those of the network at once, because they wait; beside them
// those in processes of their own, those in repositories of their own, and the rest,
// each kind in order. Then it holds.
func (a *attacker) all(ids []string) {
	ctx, cancel := context.WithTimeout(a.ctx, 400*time.Second)
	defer cancel()
	a.ctx = ctx
	var wait sync.WaitGroup
	var inOrder, alone, scripts []*row
	for _, id := range ids {
		r := findRow(id)
		switch {
		case r == nil:
		case r.own && r.phase == phaseMain:
			alone = append(alone, r)
		case r.script != "": // each in a repository of its own
			scripts = append(scripts, r)
		case r.waits, r.group() == "network", r.group() == "proxy":
			wait.Go(func() { a.row(r) })
		default:
			inOrder = append(inOrder, r)
		}
	}
	wait.Go(func() {
		for _, r := range alone {
			a.apart(r)
		}
	})
	wait.Go(func() {
		for _, r := range scripts {
			a.row(r)
		}
	})
	for _, r := range inOrder {
		if r.own {
			a.apart(r)
		} else {
			a.row(r)
		}
	}
	wait.Wait()
	a.say(holdLine)
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range a.keep {
		_ = c.Close()
	}
}

// one runs a row in a process of its own.
func (a *attacker) one(id string) {
	r := findRow(id)
	if r == nil || r.do == nil {
		os.Exit(2)
	}
	claim, found := r.do(a)
	a.say(doneLine(id, claim, found))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// apart runs a row in a process of its own, which stays until the end.
func (a *attacker) apart(r *row) {
	a.say(startLine(r.id))
	exe, err := os.Executable()
	if err != nil {
		a.say(doneLine(r.id, false, err.Error()))
		return
	}
	cmd := exec.Command(exe, attackWord, "one", r.id)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		a.say(doneLine(r.id, false, err.Error()))
		return
	}
	line, err := readLine(out, 90*time.Second)
	if err == nil {
		a.say(line)
		a.holding(in)
		return
	}
	_ = cmd.Process.Kill()
	err = errors.Join(err, cmd.Wait())
	a.say(doneLine(r.id, false, fmt.Sprintf("%v %s", err, stderr.String())))
}

func readLine(r io.Reader, within time.Duration) (string, error) {
	type read struct {
		line string
		err  error
	}
	ch := make(chan read, 1)
	go func() {
		b := bufio.NewReaderSize(r, maxLine)
		l, err := b.ReadString('\n')
		for err == nil && l == "\n" {
			l, err = b.ReadString('\n')
		}
		ch <- read{l, err}
	}()
	select {
	case x := <-ch:
		return x.line, x.err
	case <-time.After(within):
		return "", errors.New("it does not answer")
	}
}

// row runs one row in this process.
func (a *attacker) row(r *row) {
	a.say(startLine(r.id))
	type result struct {
		claim bool
		found string
	}
	done := make(chan result, 1)
	go func() {
		claim, found := a.try(r)
		done <- result{claim, found}
	}()
	select {
	case x := <-done:
		a.say(doneLine(r.id, x.claim, x.found))
	case <-time.After(120 * time.Second):
		a.say(doneLine(r.id, false, "it does not end"))
	}
}

func (a *attacker) try(r *row) (claim bool, found string) {
	switch {
	case r.do != nil:
		return r.do(a)
	case r.script != "":
		return false, a.script(r, filepath.Join(a.project, repoOf(r.id)))
	}
	return a.shell(r.sh)
}

// shell runs a line as an agent would; the claim is that it succeeds.
func (a *attacker) shell(line string) (bool, string) {
	ctx, cancel := context.WithTimeout(a.ctx, 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = a.project
	cmd.WaitDelay = time.Second
	var b bytes.Buffer
	w := &limitedBuffer{b: &b, left: maxEvidence}
	cmd.Stdout, cmd.Stderr = w, w
	err := cmd.Run()
	if err != nil {
		fmt.Fprintf(&b, "[%v]", err)
	}
	return err == nil, b.String()
}

// files reads files and says what was in them.
func files(paths ...string) func(*attacker) (bool, string) {
	return func(a *attacker) (bool, string) {
		var b strings.Builder
		ok := false
		for _, p := range paths {
			c, err := readSome(a.path(p))
			if err != nil {
				fmt.Fprintln(&b, err)
				continue
			}
			ok = true
			b.Write(c)
			b.WriteByte('\n')
		}
		return ok, b.String()
	}
}

func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2<<10))
}

// path expands ~/ and takes the rest below the project.
func (a *attacker) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(a.home, rest)
	}
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(a.project, p)
}

// pause waits, or until the attack is over.
func (a *attacker) pause(d time.Duration) {
	select {
	case <-a.ctx.Done():
	case <-time.After(d):
	}
}
