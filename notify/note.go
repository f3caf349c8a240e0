package notify

import (
	"fmt"
	"html"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/terminal"
)

// What is told of.
const (
	Ends  = "end"   // a run ended
	Waits = "waits" // something waits for an answer
)

// A Note is one thing that is told. As JSON it is the body of a request to the webhook.
type Note struct {
	Version int       `json:"version"` // 1
	Event   string    `json:"event"`   // end or waits
	Sandbox string    `json:"sandbox"` // its name
	ID      string    `json:"id"`      // of the run
	Time    time.Time `json:"time"`
	Text    string    `json:"text"` // all of it in a line, for people

	Question *Question `json:"question,omitempty"` // of waits
	More     int       `json:"more,omitempty"`     // further questions since the last note
	End      *End      `json:"end,omitempty"`      // of end
}

// A Question waits for an answer.
type Question struct {
	ID       string `json:"id"` // for belljar approve
	Host     string `json:"host,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Method   string `json:"method,omitempty"`  // empty: a connection, or a command
	Program  string `json:"program,omitempty"` // of a command, without its arguments
	Proposed bool   `json:"proposed,omitempty"`
}

// An End is how a run ended.
type End struct {
	Status *int   `json:"status,omitempty"` // of the run; absent: its supervisor was killed
	Reason string `json:"reason"`           // exited, limit, killed, crashed
	Limit  string `json:"limit,omitempty"`
	Millis int64  `json:"millis,omitempty"`
}

// maxWord bounds each word of a note, in bytes.
const maxWord = 128

// word is s, whatever it is, for a line of text.
func word(s string) string {
	s = terminal.Escape(s)
	if len(s) > maxWord {
		s = strings.ToValidUTF8(s[:maxWord], "") + "…"
	}
	return s
}

// Program is the name of the program that a command line begins with.
func Program(command string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	return word(path.Base(strings.Trim(first, `"'`)))
}

// complete makes all of n fit to be told, and says it in a line. What n points to is shared
// and stays as it is.
func (n *Note) complete() {
	if n.Question != nil {
		q := *n.Question
		n.Question = &q
	}
	if n.End != nil {
		e := *n.End
		n.End = &e
	}
	n.Version = 1
	n.Sandbox, n.ID = word(n.Sandbox), word(n.ID)
	n.Text = "belljar: " + n.summary()
	if q := n.Question; q != nil {
		q.ID, q.Host, q.Method, q.Program = word(q.ID), word(q.Host), word(q.Method), word(q.Program)
		n.Text += ": " + n.detail()
	}
	if e := n.End; e != nil {
		e.Reason, e.Limit = word(e.Reason), word(e.Limit)
	}
}

// summary is n in a few words.
func (n *Note) summary() string {
	if n.Event == Waits {
		if n.Question != nil && n.Question.Proposed {
			return n.Sandbox + " proposes a rule"
		}
		return n.Sandbox + " waits for you"
	}
	e := n.End
	switch {
	case e == nil || e.Status == nil:
		return n.Sandbox + " was killed"
	case e.Limit != "":
		return fmt.Sprintf("%s reached its limit of %s", n.Sandbox, e.Limit)
	case *e.Status == 0:
		return n.Sandbox + " is done"
	}
	return fmt.Sprintf("%s ended with status %d", n.Sandbox, *e.Status)
}

// detail is what else there is to say; empty: nothing.
func (n *Note) detail() string {
	if n.Question == nil {
		return ""
	}
	q := n.Question
	what := "a connection to "
	switch {
	case q.Program != "":
		what = "to run " + q.Program
	case q.Method != "":
		what = q.Method + " "
	}
	if q.Program == "" {
		what += q.Host
		if q.Port != 443 {
			what += fmt.Sprintf(" port %d", q.Port)
		}
	}
	if n.More > 0 {
		return fmt.Sprintf("%s, and %d more (belljar approve %s)", what, n.More, n.Sandbox)
	}
	return fmt.Sprintf("%s (belljar approve %s %s)", what, n.Sandbox, q.ID)
}

// plain and markup are texts for servers that show them as they are, and as markup.
func plain(s string) string  { return s }
func markup(s string) string { return html.EscapeString(s) }
