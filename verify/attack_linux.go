package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// plans of the phases: what the sandbox is started with.
var (
	phases = []phase{phaseMain, phaseTerminal, phaseMalloc, phaseMemfd, phaseTmpfs, phaseLimits, phaseRules, phaseReview}
	// allowed are the names that the sandbox may reach; what they resolve to is the attack.
	allowed = []string{
		"allowed.test:80", "allowed.test:443", "private.test:80", "meta.test:80", "loop.test:80", "loop.test:5000",
		"self.test:80", "self.test:5000",
	}
)

// attack runs every phase and says what was seen.
func (w *world) attack(ctx context.Context, l Launcher) (told, error) {
	rows := chosen(allRows(), w.cfg.Only)
	w.said = newStatements(rows)
	w.said.started = func(id string) {
		if r := findRow(id); r != nil && r.early != nil {
			r.early(w)
		}
	}
	go w.takeHits()
	if len(ofPhase(rows, phaseRules)) > 0 {
		if err := w.serveTool(); err != nil {
			return told{}, fmt.Errorf("open a decoy service: %w", err)
		}
	}
	if err := w.listenDecoys(); err != nil {
		return told{}, fmt.Errorf("open decoy sockets: %w", err)
	}
	if w.keys = slices.ContainsFunc(rows, (*row).wantsKey); w.keys {
		if err := w.serveKeys(); err != nil {
			return told{}, fmt.Errorf("open decoy services: %w", err)
		}
	}
	if _, err := w.startVictim(); err != nil {
		return told{}, fmt.Errorf("start a decoy process: %w", err)
	}
	if err := w.leaveOpen(); err != nil {
		return told{}, fmt.Errorf("open a secret: %w", err)
	}
	found := map[string]finding{}
	var mu sync.Mutex
	run := func(p phase) error {
		mine := ofPhase(rows, p)
		if len(mine) == 0 {
			return nil
		}
		seen, err := w.phase(ctx, l, p, mine)
		if err != nil {
			return fmt.Errorf("phase %s: %w", p, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for id, f := range seen {
			found[id] = f
		}
		return nil
	}
	// The first phase takes longest; the others run beside it, but for the one that
	// changes what the first one looks at.
	main, slow := make(chan error, 1), make(chan error, 1)
	go func() { main <- run(phaseMain) }()
	go func() { slow <- run(phaseTime) }() // it only waits
	var errs []error
	for _, p := range phases[1:] {
		if p == phaseReview {
			errs = append(errs, <-main, <-slow)
		}
		errs = append(errs, run(p))
	}
	if err := errors.Join(errs...); err != nil {
		return told{}, err
	}
	t := told{Findings: found, Complaint: w.stderr.String()}
	for _, p := range append(phases, phaseTime) {
		if o, ok := w.outcome[p]; ok && t.Tier == "" {
			t.Tier, t.Enforcement = o.Tier, o.Enforcement
		}
	}
	return t, nil
}

// leaveOpen leaves a secret open for what is started later to inherit, as a
// careless caller does.
func (w *world) leaveOpen() error {
	f, err := os.Open(filepath.Join(w.home, ".ssh/id_rsa"))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD, inheritedFD) // not closed on exec
	return err
}

// takeHits takes what the internet saw.
func (w *world) takeHits() {
	unix.CloseOnExec(fdHits)
	b := bufio.NewScanner(os.NewFile(fdHits, "hits"))
	for b.Scan() {
		var h hit
		if json.Unmarshal(b.Bytes(), &h) == nil {
			w.hit(h.Row, h.How)
		}
	}
}

// phase runs the rows of one phase and judges what was seen.
func (w *world) phase(ctx context.Context, l Launcher, p phase, rows []*row) (map[string]finding, error) {
	held := map[string]finding{}
	look := func() {
		if p == phaseMain {
			w.objects = openObjects()
		}
		for _, r := range rows {
			if f, ok := w.whileHeld(r); ok {
				held[r.id] = f
			}
		}
	}
	if err := w.start(ctx, l, p, rows, look); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(rows, func(r *row) bool { return r.judge.marked }) {
		if err := w.exercise(ctx, rows); err != nil {
			return nil, err
		}
	}
	out := map[string]finding{}
	for _, r := range rows {
		f := w.after(r)
		if h, ok := held[r.id]; ok {
			f.Effect, f.Detail = h.Effect, h.Detail
		}
		out[r.id] = f
	}
	return out, nil
}

// start runs the attacker on rows to its end; look is called while it holds.
func (w *world) start(ctx context.Context, l Launcher, p phase, rows []*row, look func()) error {
	ctx, cancel := context.WithTimeout(ctx, 600*time.Second)
	defer cancel()
	argv := []string{filepath.Join(w.home, attackerRel), attackWord, "all"}
	for _, r := range rows {
		argv = append(argv, r.id)
	}
	if p == phaseTerminal {
		return w.onTerminal(ctx, l, argv)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	release := sync.OnceFunc(func() { hold.Close() })
	defer release()
	out, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	read := make(chan error, 1)
	go func() {
		err := w.said.read(out, func() { look(); release() })
		release()
		_, _ = io.Copy(io.Discard, out)
		read <- err
	}()
	err = w.launch(ctx, l, p, argv, in, theirs, null)
	theirs.Close()
	return errors.Join(err, <-read)
}

// launch starts whatever this world is about: a sandbox of ours, of another
// program, or nothing around the attacker at all.
func (w *world) launch(ctx context.Context, l Launcher, p phase, argv []string, in, out, errout *os.File) error {
	if !w.cfg.Control && w.cfg.Command == "" {
		j := Job{Tier: w.cfg.Tier, Argv: argv, Allow: allowed, In: in, Out: out, Err: errout}
		if w.keys && p == phaseMain {
			j.Allow, j.Credential = slices.Concat(allowed, boundHosts()), boundTo()
		}
		if err := w.flags(p, &j); err != nil {
			return err
		}
		o, err := l.Launch(ctx, j)
		w.mu.Lock()
		w.outcome[p] = o
		w.mu.Unlock()
		return err
	}
	var c *exec.Cmd
	if w.cfg.Control {
		c = exec.CommandContext(ctx, argv[0], argv[1:]...)
	} else {
		c = exec.CommandContext(ctx, "sh", append([]string{"-c", w.cfg.Command + ` "$@"`, "sh"}, argv...)...)
	}
	c.Stdin, c.Stdout, c.Stderr = in, out, errout
	if !w.cfg.Control {
		var said bytes.Buffer
		c.Stderr = &limitedBuffer{b: &said, left: 2 << 10}
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.stderr.Len() == 0 {
				w.stderr = said
			}
		}()
	}
	c.Dir = w.project()
	c.WaitDelay = 2 * time.Second
	if p == phaseTime {
		short, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		context.AfterFunc(short, func() { _ = c.Cancel() })
	}
	var ee *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ee) {
		return err
	}
	return nil
}

// inheritedFD is the lowest number under which a secret file is left open in
// whatever starts the sandbox.
const inheritedFD = 9

// flags are what the phase adds to the flags of run.
func (w *world) flags(p phase, j *Job) error {
	if w.cfg.Policy != nil {
		j.PolicyFile = "/tmp/belljar-verify-policy.yaml"
		if err := os.WriteFile(j.PolicyFile, w.cfg.Policy, 0o600); err != nil {
			return err
		}
	}
	j.Time = "500s" // whatever hangs
	switch p {
	case phaseRules:
		return w.rules(j)
	case phaseReview:
		j.Mode = "review"
	case phaseLimits:
		j.Processes, j.Disk = "80", "64MiB"
	case phaseMalloc, phaseMemfd, phaseTmpfs:
		j.Memory = "192MiB"
	case phaseTime:
		j.Time = "3s"
	}
	return nil
}

// whileHeld judges what is seen only while the attacker holds.
func (w *world) whileHeld(r *row) (finding, bool) {
	switch {
	case r.judge.object != "":
		ok, what := w.hasObject(r.judge.object)
		return finding{Effect: ok, Detail: what}, true
	case r.judge.held != nil:
		ok, what := r.judge.held(w)
		return finding{Effect: ok, Detail: what}, true
	}
	return finding{}, false
}

// hasObject looks through what was open when the attacker held.
func (w *world) hasObject(kind string) (bool, string) {
	for to, p := range w.objects {
		if strings.Contains(to, kind) {
			return true, p + " of the host is " + to
		}
	}
	return false, "no process of the host has " + kind
}

// after judges what is seen when the attacker has ended.
func (w *world) after(r *row) finding {
	s := w.said.of[r.id]
	f := finding{Ran: s.done, Effect: s.claim, Detail: strings.TrimSpace(s.evidence)}
	switch r.phase {
	case phaseMalloc, phaseMemfd, phaseTmpfs, phaseTime:
		// A limit may come before its last word, or even its first.
		f.Ran = s.started || w.limitOf(r.phase) != ""
	}
	j := r.judge
	switch {
	case j.secret != nil:
		f.Effect = false
		for _, name := range j.secret {
			if w.secrets[name] != "" && strings.Contains(s.evidence, w.secrets[name]) {
				f.Effect, f.Detail = true, "the decoy secret "+name+" came out"
			}
		}
	case j.hit:
		how, ok := w.hitOf(r.id)
		f.Effect = ok
		if ok {
			f.Detail = how
		}
	case j.marked:
		_, err := os.Lstat(marksDir + "/" + strings.ReplaceAll(r.id, "/", "_"))
		f.Effect = err == nil
		if err == nil {
			f.Detail = "the payload ran on the host"
		}
	case j.host != nil:
		ok, what := j.host(w)
		f.Effect = ok
		if what != "" {
			f.Detail = what
		}
	case j.same != "":
		f.Effect = w.sameAsHost(j.same, s.evidence)
	}
	if len(f.Detail) > 600 {
		f.Detail = f.Detail[:600]
	}
	return f
}

// limitOf is the limit that ended the sandbox of a phase; "" for none.
func (w *world) limitOf(p phase) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome[p].Limit
}

// sameAsHost says whether what was found is the content of a file of the host.
func (w *world) sameAsHost(path, found string) bool {
	b, err := readSome(path)
	want := strings.TrimSpace(string(b))
	return err == nil && len(want) > 3 && strings.Contains(found, want)
}

// bare starts the attacker on a terminal without a sandbox of ours.
func (w *world) bare(ctx context.Context, argv []string, tty *os.File) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if !w.cfg.Control {
		c = exec.CommandContext(ctx, "sh", append([]string{"-c", w.cfg.Command + ` "$@"`, "sh"}, argv...)...)
	}
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.Dir = w.project()
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	var ee *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ee) {
		return err
	}
	return nil
}
