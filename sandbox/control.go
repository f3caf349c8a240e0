package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/terminal"
)

// Control is a client for the running sandbox e.
func (e Entry) Control() *api.Client { return api.Dial(e.Name, e.Scratch) }

// maxNotices bounds the lines that are not printed yet; further ones are dropped, what
// they tell of is listed.
const maxNotices = 16

// startQuestions makes the queue of questions and, once the gateway is made, the way to
// answer them.
func (r *run) startQuestions(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	r.notices, r.bells = make(chan string, maxNotices), make(chan struct{}, 1)
	r.questions = approval.New(approval.Options{Tell: func(n approval.Note) { r.told(ctx, n) }, Grant: r.grant})
	r.undo.add(r.questions.Close)
}

// serveControl answers on the control socket until stopControl.
func (r *run) serveControl(ctx context.Context, scratch string) error {
	l, err := api.Listen(scratch)
	if err != nil {
		return &belljar.Error{Op: "make the control socket", ID: scratch, Err: err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := api.Serve(ctx, l, control{r}); err != nil && ctx.Err() == nil {
			r.notice("belljar: nobody can answer what this sandbox asks any more: " + terminal.Escape(err.Error()))
		}
	}()
	r.stopControl = func() error {
		cancel()
		<-done
		return nil
	}
	r.undo.add(r.stopControl)
	return nil
}

// told puts a question, or what became of it, on record, and tells the user of a new one.
func (r *run) told(ctx context.Context, n approval.Note) {
	e := belljar.Event{Kind: belljar.EventAnswer, Ask: &belljar.AskEvent{
		ID: n.ID, Host: n.Host, Port: n.Port, Method: n.Method, Path: n.Path, Proposed: n.Proposed, Note: n.Note, Rule: n.Rule, Command: n.Command,
		Answer: string(n.State), Scope: string(n.Scope), By: n.By,
	}}
	if n.State == approval.Open {
		e.Kind, e.Ask.Answer = belljar.EventAsk, ""
		r.notice(notice(r.p.Name, n.Question))
		r.tellWaits(n.Question)
	}
	// A record that fails ends the run, by whoever watches it.
	_ = r.counts.Record(ctx, e)
}

// notice tells the user something, in a line without control characters.
func (r *run) notice(line string) {
	select {
	case r.notices <- line:
	default:
	}
}

// notice is what the user is told of a new question. It holds no control characters.
func notice(name string, q approval.Question) string {
	verb := "waits for you"
	if q.Proposed {
		verb = "is proposed"
	}
	s := fmt.Sprintf("belljar: %s %s: belljar approve %s %s", Asked(q.Subject), verb, name, q.ID)
	if q.Note != "" {
		s += " (it says: " + strconv.Quote(terminal.Escape(q.Note)) + ")"
	}
	return s
}

// Asked is what a question is about, for people. It holds no control characters.
func Asked(s approval.Subject) string {
	if s.Command != "" {
		return "to run " + terminal.Escape(s.Command)
	}
	at := fmt.Sprintf("%s port %d", terminal.Escape(s.Host), s.Port)
	if s.Port == 443 {
		at = terminal.Escape(s.Host)
	}
	if s.Method == "" {
		return "a connection to " + at
	}
	what := terminal.Escape(s.Method) + " " + at + terminal.Escape(s.Path)
	if s.Query != "" {
		what += "?" + terminal.Escape(s.Query)
	}
	return what
}

// printNotices tells the user of questions until ctx ends.
func (r *run) printNotices(ctx context.Context) {
	var rang time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-r.notices:
			r.session.Note(line)
		case <-r.bells:
			if time.Since(rang) >= bellPause {
				rang = time.Now()
				r.session.Ring()
			}
		}
	}
}

// grant makes an answer hold for the sandbox.
func (r *run) grant(q approval.Question, scope approval.Scope) error {
	if q.Command != "" {
		if scope == approval.Always {
			return errors.New("a command can be allowed once or until the sandbox ends: for good, take the rule out of the policy")
		}
		if strings.HasPrefix(q.Command, linePrefix) {
			return r.lines.grant(q.Command)
		}
		return r.commands.grant(q.Command)
	}
	rule, err := r.gw.RuleFor(q.Subject, q.Asker)
	if err == nil {
		err = r.add(rule)
	}
	if err != nil {
		return fmt.Errorf("it cannot be allowed for longer than once: %w", err)
	}
	return nil
}

// add adds a rule to the running gateway, unless the organisation forbids it.
func (r *run) add(rule belljar.NetRule) error {
	if r.o.MayGrant != nil {
		if err := r.o.MayGrant(rule); err != nil {
			return err
		}
	}
	return r.gw.Allow(rule)
}

// control is what the control socket answers with.
type control struct{ r *run }

var _ api.Control = control{}

// Questions implements [api.Control].
func (c control) Questions(context.Context) ([]approval.Question, error) {
	return c.r.questions.List(), nil
}

// Answer implements [api.Control].
func (c control) Answer(_ context.Context, id string, a approval.Answer) (api.Granted, error) {
	var rule belljar.NetRule
	if q, _, ok := c.r.questions.Look(id); ok && q.Command == "" {
		rule, _ = c.r.gw.RuleFor(q.Subject, q.Asker) // with an error it is not granted either
	}
	q, scope, err := c.r.questions.Answer(id, a)
	switch {
	case errors.Is(err, approval.ErrNone):
		return api.Granted{}, &belljar.Error{
			Op: "answer", ID: id, Kind: belljar.KindNoSuch, Err: err, Hint: "it may have been answered, or nobody waits any more: belljar approve " + c.r.p.Name + " lists what waits",
		}
	case errors.Is(err, approval.ErrClosed):
		return api.Granted{}, &belljar.Error{Op: "answer", ID: id, Kind: belljar.KindNoSuch, Err: err}
	case err != nil:
		return api.Granted{}, &belljar.Error{Op: "answer", ID: id, Kind: belljar.KindRefused, Err: err}
	}
	g := api.Granted{Question: q, Allowed: a.Allow, Scope: scope}
	if a.Allow && scope != approval.Once && q.Command == "" {
		g.Rule = &rule
		c.r.questions.Cover(c.r.gw.Allows, a.By)
	}
	return g, nil
}

// Allow implements [api.Control].
func (c control) Allow(ctx context.Context, rule belljar.NetRule, by string) error {
	if err := c.r.add(rule); err != nil {
		return &belljar.Error{Op: "allow", ID: rule.Host, Kind: belljar.KindRefused, Err: err}
	}
	_ = c.r.counts.Record(ctx, belljar.Event{Kind: belljar.EventAnswer, Ask: &belljar.AskEvent{
		Host: rule.Host, Port: rule.Ports[0], Method: strings.Join(rule.Methods, ","), Path: strings.Join(rule.Paths, ","),
		Answer: string(approval.Allowed), Scope: string(approval.Sandbox), By: by,
	}})
	c.r.questions.Cover(c.r.gw.Allows, by)
	return nil
}
