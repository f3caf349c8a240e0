package sandbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/agenthook"
	"github.com/belljar-dev/belljar/judge"
)

// commands decides which programs may run, by the plan's rules. It is safe for concurrent
// use.
type commands struct {
	grants
	r     *run
	judge *judge.Judge

	mu    sync.Mutex
	since map[waiter]time.Time
}

// grants are command lines that were asked about and allowed for the sandbox.
type grants struct {
	mu      sync.Mutex
	granted map[string]bool
}

// A waiter is a process that waits with a command line. A signal that it handles makes it
// ask anew, which does not make it wait longer.
type waiter struct {
	pid  int
	line string
}

// maxGranted bounds what was allowed for the sandbox; each was answered by a person.
const maxGranted = 4096

// maxSince bounds what is remembered of those who wait.
const maxSince = 4096

// byDescriptor begins the path of what execveat(2) is given by a descriptor.
const byDescriptor = "/dev/fd/"

// newCommands is nil when no rule of the plan asks or denies.
func (r *run) newCommands() (*commands, error) {
	if r.p.Commands == nil || !r.p.Commands.Holds() || ablate.Off(ablate.Commands) {
		return nil, nil
	}
	j, err := judge.New(*r.p.Commands)
	if err != nil {
		return nil, &belljar.Error{Op: "read the rules for commands", Err: err}
	}
	return &commands{r: r, judge: j, since: map[waiter]time.Time{}}, nil
}

// mayExec implements [belljar.Spec] MayExec.
func (c *commands) mayExec(ctx context.Context, e *belljar.ExecEvent) string {
	if e.Path == agenthook.Program {
		return "" // ours, which nobody inside can change; what it starts is judged
	}
	if strings.HasPrefix(e.Path, byDescriptor) {
		// The kernel tells the descriptor, and not which file it is of.
		const why = "while rules for commands hold, no program is executed by a descriptor (fexecve)"
		c.r.gw.Refused(commandLine(e), why)
		return why
	}
	f := c.judge.Exec(e)
	if f.Verdict == judge.Allow {
		return ""
	}
	line := commandLine(e)
	why := fmt.Sprintf("%s (rule %s)", f.Reason, f.Rule)
	if f.Verdict == judge.Ask {
		why = c.ask(ctx, f.Rule, waiter{e.PID, line})
	}
	if why != "" && ctx.Err() == nil {
		c.r.gw.Refused(line, why)
	}
	return why
}

// ask waits for somebody outside, and says why the program must not run.
func (c *commands) ask(ctx context.Context, rule string, w waiter) string {
	if c.has(w.line) {
		return ""
	}
	waiting, cancel := context.WithDeadline(ctx, c.until(w))
	defer cancel()
	id, err := c.r.questions.Ask(waiting, approval.Subject{Command: w.line}, approval.Asker{Origin: c.origin(rule)})
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = approval.ErrParked
	}
	if ctx.Err() == nil {
		c.settled(w)
	}
	if ctx.Err() != nil && err != nil && !errors.Is(err, approval.ErrDenied) {
		return fmt.Sprintf("nobody answered while it waited (rule %s)", rule)
	}
	return unanswered(err, id, rule)
}

// unanswered says why what was asked must not be, by the error of asking; empty: it may.
func unanswered(err error, id, rule string) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, approval.ErrDenied):
		return fmt.Sprintf("somebody outside was asked and denied it (rule %s)", rule)
	case errors.Is(err, approval.ErrParked):
		return fmt.Sprintf("somebody outside is asked (question %s, rule %s), and has not answered yet: try it again later", id, rule)
	}
	return fmt.Sprintf("somebody outside has to be asked first (rule %s): %v", rule, err)
}

func (c *commands) origin(rule string) *belljar.Origin { return originOf(c.r.p.Commands, rule) }

// originOf is where a rule that asks is written; nil: it is none of the policy's.
func originOf(c *belljar.Commands, rule string) *belljar.Origin {
	for i := range c.Rules {
		if x := &c.Rules[i]; x.Pattern == rule && x.Verdict == "ask" {
			return &x.Origin
		}
	}
	return nil
}

// until is how long w may wait: it is counted from when it began, also when it was
// interrupted since.
func (c *commands) until(w waiter) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	began, ok := c.since[w]
	if ok && time.Since(began) < 2*approval.Wait { // longer ago it was another wait, or another process
		return began.Add(approval.Wait)
	}
	if len(c.since) >= maxSince {
		clear(c.since) // those that wait may wait once more
	}
	c.since[w] = time.Now()
	return c.since[w].Add(approval.Wait)
}

func (c *commands) settled(w waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.since, w)
}

// has says whether a command line was allowed for the sandbox.
func (g *grants) has(line string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.granted[line]
}

// grant allows a command line for the sandbox.
func (g *grants) grant(line string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.granted) >= maxGranted {
		return fmt.Errorf("more than %d commands were allowed already", maxGranted)
	}
	if g.granted == nil {
		g.granted = map[string]bool{}
	}
	g.granted[line] = true
	return nil
}

// maxLine is how much of a command line is shown in a question.
const maxLine = 400

// commandLine is what a question about a command is about: its file, its arguments and its
// folder, not its environment. Different ones have different texts. It holds no control
// characters but may hold any other text from inside: whoever prints it escapes it.
func commandLine(e *belljar.ExecEvent) string {
	line := word(e.Path)
	names := []string{e.Called}
	if len(e.Argv) > 0 {
		for _, a := range e.Argv[1:] {
			line += " " + word(a)
		}
		names = append(names, e.Argv[0])
	}
	for _, n := range names {
		if n != "" && filepath.Base(n) != filepath.Base(e.Path) {
			line += " (called as " + strconv.Quote(n) + ")"
		}
	}
	if e.Dir != "" {
		line += " (in " + word(e.Dir) + ")"
	}
	if len(line) <= maxLine && e.Truncated == 0 && !strings.Contains(line, "\ufffd") {
		return line
	}
	return fmt.Sprintf("%s… (%d bytes, sha256 %x)", strings.ToValidUTF8(line[:min(len(line), maxLine)], ""), len(line)+e.Truncated,
		sha256.Sum256([]byte(e.Digest+line)))
}

// word is s, quoted where it is not plain.
func word(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r)
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(s)
	}
	return s
}
