// Package approval is the one queue of questions that a sandbox has for the people
// outside: requests and commands that wait because a rule says so ([Queue.Ask]), and proposals for
// rules that are not there ([Queue.Propose]).
//
// A question is about a [Subject], and is asked by one rule, its [Asker]; equal ones are
// joined into one question, which has an ID that no other question of the queue ever has. Somebody outside answers it
// ([Queue.Answer]): once, for the sandbox, or for good. "Once" lets exactly one request
// pass, however many equal ones wait. What waits does so for [Wait]; then it goes on
// without an answer, and the question stays ("parked") until it is [Life] old: an answer
// of "once" that comes after the request went on is kept for the next equal one.
//
// # Limits
//
// What asks is hostile. Open questions are bounded in all ([MaxOpen]), for one host
// ([MaxHost]) and of one kind ([MaxKind]), so that neither the proposals nor one host
// keep others from asking; so is what waits ([MaxWaiting]) and what is remembered of
// earlier answers. Beyond a bound a new question takes the place of the oldest one for
// which nothing has waited since [Wait]; where there is none it is refused at once: [ErrFull].
//
// # Limitations
//
// A queue lives as long as its sandbox. What is denied stays denied for the sandbox, as
// far as it is remembered.
package approval

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	// Wait is how long a request waits for an answer.
	Wait = 2 * time.Minute
	// Life is how long a question may be answered.
	Life = time.Hour
	// Kept is how long an answer of "once" is kept for a request that went on.
	Kept = 10 * time.Minute
	// MaxOpen bounds the open questions, MaxHost those about one host, MaxKind those
	// that are proposals and those that are not.
	MaxOpen = 64
	MaxHost = 8  // about one host
	MaxKind = 32 // proposals; others
	// MaxWaiting bounds the requests that wait at a time.
	MaxWaiting = 128
	// MaxLooking bounds those who wait to hear what becomes of a question.
	MaxLooking = 32
	// maxRemembered bounds what is remembered of answers.
	maxRemembered = 256
)

// A Subject is what a question is about. It holds nothing that was not checked: Host is
// canonical, Method a token, Path canonical. Method and Path are empty where a connection
// is meant. Query is that of the request that asks, as [ShortQuery] gives it: whoever prints
// it escapes it. What is allowed for longer than once, or denied, is so with any query.
type Subject struct {
	Host   string `json:"host,omitempty"` // or an address
	Port   uint16 `json:"port,omitempty"`
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Query  string `json:"query,omitempty"`
	// Command is the command line of a program that is about to run, in place of all else:
	// text from inside.
	Command string `json:"command,omitempty"`
}

// anyQuery is the subject without its query.
func (s Subject) anyQuery() Subject {
	s.Query = ""
	return s
}

// maxQuery is how much of a query is shown.
const maxQuery = 200

// ShortQuery is a query of any length, short and different for different ones.
func ShortQuery(q string) string {
	if len(q) <= maxQuery {
		return q
	}
	return fmt.Sprintf("%s… (%d bytes, sha256 %x)", q[:maxQuery], len(q), sha256.Sum256([]byte(q)))
}

// A Scope says how long an answer holds.
type Scope string

// The scopes.
const (
	Once    Scope = "once"    // for one request
	Sandbox Scope = "sandbox" // until the sandbox ends
	Always  Scope = "always"  // as Sandbox, and whoever answers writes it into their policy
)

// An Asker is the rule that asks. It is part of what a question is about: what one rule asks
// and what another one asks are two questions, however alike, and the answer to one says
// nothing about the other. The pointers tell rules apart, so that each rule has its own, which
// are the same as long as the queue lives. The zero Asker is nobody's.
type Asker struct {
	Net    *belljar.NetRule // nil: it asks about something else than the network
	Origin *belljar.Origin
}

// AskedBy is the asker of a rule about the network.
func AskedBy(rule *belljar.NetRule) Asker { return Asker{rule, &rule.Origin} }

// A Question is what waits, as it may be shown. Note comes from inside as it is:
// whoever prints it escapes it.
type Question struct {
	ID string `json:"id"` // a decimal number; never used twice in a sandbox
	Subject
	Proposed bool            `json:"proposed,omitempty"` // nothing waits for it: a rule is asked for
	Note     string          `json:"note,omitempty"`     // what the program inside says about it
	Rule     *belljar.Origin `json:"rule,omitempty"`     // where the rule that asks is written
	Asker    Asker           `json:"-"`
	Asked    time.Time       `json:"asked"`
	Until    time.Time       `json:"until"`   // it is open so long
	Waiting  int             `json:"waiting"` // how many requests wait right now
}

// An Answer is what somebody outside says to a question.
type Answer struct {
	Allow bool
	Scope Scope  // of an answer that allows; empty: [Once], for a proposal [Sandbox]
	By    string // who, for the record
}

// A State is what has become of a question.
type State string

// The states.
const (
	Open    State = "open"
	Allowed State = "allowed"
	Denied  State = "denied"
	Expired State = "expired" // nobody answered
	Ended   State = "ended"   // the sandbox ended
)

// A Note is one entry of the record: a question that was asked (State [Open]) or what
// became of it.
type Note struct {
	Question
	State State
	Scope Scope
	By    string
}

// Errors of asking and answering.
var (
	ErrFull   = errors.New("too many questions wait already")
	ErrDenied = errors.New("it was denied")
	ErrParked = errors.New("nobody has answered yet")
	ErrClosed = errors.New("the sandbox has ended")
	ErrNone   = errors.New("no such question waits")
)
