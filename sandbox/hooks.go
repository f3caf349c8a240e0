package sandbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/internal/agenthook"
	"github.com/belljar-dev/belljar/judge"
	"github.com/belljar-dev/belljar/terminal"
)

// lines judges the shell lines that agents' hooks submit, by the plan's rules. It is no
// boundary: what it allows is what it did not object to. It is safe for concurrent use.
type lines struct {
	grants
	r      *run
	judges *judge.Judge
	atExec bool          // rules that ask and deny hold when programs are executed
	turn   chan struct{} // one line is judged at a time
}

// newLines is nil where the plan has no rules.
func (r *run) newLines() (*lines, error) {
	if r.p.Commands == nil {
		return nil, nil
	}
	c := *r.p.Commands
	inContext(&c.Context, r.p)
	j, err := judge.New(c)
	if err != nil {
		return nil, &belljar.Error{Op: "read the rules for commands", Err: err}
	}
	held := slices.ContainsFunc(r.p.Enforcement, func(e belljar.Enforcement) bool {
		return e.Requirement == belljar.ReqCommands && e.Level != belljar.None
	})
	return &lines{r: r, judges: j, atExec: held, turn: make(chan struct{}, 1)}, nil
}

// inContext says what the policy does not say of where lines are judged, as belljar judge does.
func inContext(x *belljar.CommandContext, p *belljar.Plan) {
	if x.Dir == "" {
		x.Dir = p.Workspace.Dir
	}
	if x.Home == "" {
		x.Home = p.Identity.Home
	}
	if x.Writable != nil {
		return
	}
	x.Writable = []string{x.Dir, "/tmp"}
	for _, v := range p.Workspace.Views {
		if !v.ReadOnly && !v.Git {
			x.Writable = append(x.Writable, v.Target)
		}
	}
}

// judge implements [gateway.Options] JudgeLine.
func (l *lines) judge(ctx context.Context, c agenthook.Call) agenthook.Verdict {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return agenthook.Verdict{Reason: "the sandbox ends"}
	}
	d := l.judges.Run(c.Line, judge.Setting{Dir: c.Dir, AskedAtExec: l.atExec})
	<-l.turn
	why := ""
	switch d.Verdict {
	case judge.Deny:
		why = fmt.Sprintf("%s (rule %s): %s", d.Reason, d.Rule, d.Part)
	case judge.Ask:
		why = l.ask(ctx, c, d.Finding)
	}
	if why != "" {
		l.r.gw.Refused(lineText(c), why)
	}
	e := &belljar.JudgeEvent{
		Agent: c.Agent, Line: c.Line, Dir: c.Dir, Verdict: d.Verdict.String(), Answer: "allowed", Reason: cmp.Or(why, d.Reason), Rule: d.Rule, Part: d.Part,
	}
	v := agenthook.Verdict{Allow: why == ""}
	if why != "" {
		e.Answer = "denied"
		v.Reason = terminal.Escape(why) + ". Only the person who started this sandbox can allow it, outside of it: do not look for a way around; http://" + belljar.PolicyHost + "/ says more"
	}
	// A record that fails ends the run, by whoever watches it.
	_ = l.r.counts.Record(context.WithoutCancel(ctx), belljar.Event{Kind: belljar.EventJudge, Judge: e})
	return v
}

// ask waits for somebody outside, and says why the line must not run.
func (l *lines) ask(ctx context.Context, c agenthook.Call, f judge.Finding) string {
	rule := f.Rule
	if rule == "" {
		rule = "none allows it"
	}
	line := lineText(c)
	if l.has(line) {
		return ""
	}
	waiting, cancel := context.WithTimeout(ctx, approval.Wait-5*time.Second) // less than the agent waits for its hook
	defer cancel()
	id, err := l.r.questions.Ask(waiting, approval.Subject{Command: line}, approval.Asker{Origin: originOf(l.r.p.Commands, f.Rule)})
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = approval.ErrParked
	}
	why := unanswered(err, id, rule)
	if why != "" {
		why = f.Reason + "; " + why
	}
	return why
}

// linePrefix begins what a question about a line is about: no text of [commandLine] does,
// which begins with a path.
const linePrefix = "the line "

// lineText is what a question about a line is about. Different lines have different texts.
// It holds no control characters; whoever prints it escapes it all the same.
func lineText(c agenthook.Call) string {
	text := linePrefix + strconv.Quote(c.Line) + " of " + c.Agent
	if c.Dir != "" {
		text += " (in " + word(path.Clean(c.Dir)) + ")"
	}
	if len(text) <= maxLine {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes, sha256 %x)", strings.ToValidUTF8(text[:maxLine], ""), len(text), sha256.Sum256([]byte(text)))
}
