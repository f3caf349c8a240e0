package sandbox

import (
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/notify"
)

// Notify says how the user is told, beside in lines of the terminal.
type Notify struct {
	notify.Options
	Bell bool     // of the terminals that show the run, while it runs
	Env  []string // of the user
}

// startNotify starts what tells the user, before this process is confined.
func (r *run) startNotify() error {
	n := r.o.Notify
	if n == nil {
		return nil
	}
	o := n.Options
	o.Sandbox, o.ID, o.Say = r.p.Name, r.p.ID, r.notice
	s, err := notify.Start(n.Env, o)
	if err != nil {
		return &belljar.Error{Op: "start what notifies you", ID: r.p.Name, Err: err, Hint: "without notify in the policy, nothing is started"}
	}
	r.notifier = s
	r.undo.add(s.Close)
	return nil
}

// tellWaits tells the user of a new question.
func (r *run) tellWaits(q approval.Question) {
	n := r.o.Notify
	if n == nil || !n.Waits {
		return
	}
	if n.Bell {
		select {
		case r.bells <- struct{}{}:
		default:
		}
	}
	asks := notify.Question{ID: q.ID, Host: q.Host, Port: q.Port, Method: q.Method, Proposed: q.Proposed}
	switch {
	case strings.HasPrefix(q.Command, linePrefix):
		asks = notify.Question{ID: q.ID, Program: "a line of a shell"}
	case q.Command != "":
		asks = notify.Question{ID: q.ID, Program: notify.Program(q.Command)}
	}
	r.notifier.Tell(notify.Note{Event: notify.Waits, Question: &asks})
}

// tellEnd tells the user that the run ended.
func (r *run) tellEnd(status int, end belljar.End) {
	n := r.o.Notify
	if n == nil {
		return
	}
	if n.Ends && n.Bell && r.shared != nil {
		r.shared.Ring() // in the foreground the command line does, behind its last lines
	}
	r.notifier.Tell(notify.Note{Event: notify.Ends, End: &notify.End{
		Status: &status, Reason: string(end.Reason), Limit: end.Limit, Millis: time.Since(r.began).Milliseconds(),
	}})
}

// bellPause is how long bells are apart at least.
const bellPause = 2 * time.Second
