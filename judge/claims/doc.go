// Package claims compares what an agent's transcript says it ran with what was executed.
//
//	told, notes, err := claims.Read(dirs, from, to)   // files that the agent wrote
//	rep, err := claims.Check(told, event.Read(file, event.Filter{}))
//
// # Model
//
// A claim is a call of a tool that runs a command line, with the exit status that the
// transcript states for it. The record knows every execve and every exit, taken from
// outside. A claim holds if, at that time and in that order, a shell was given exactly
// this line, the programs that the line must run were executed below it with these words,
// and the status is the one that was seen. What a line must run is found by parsing it:
// what stands behind a condition, in a loop, or behind a command that may end the line, may
// have run or not. What ran below no claim is told too, but for a list of helpers that
// agents are known to start by themselves; these are counted.
//
// # Limitations
//
// Transcripts are written inside: they are read as hostile bytes, in bounds, and nothing in
// them is taken for true. Text of the assistant, such as "all tests pass", is not
// interpreted. What a program did once it ran, and what builtins of a shell did, is not
// known here: that a shell was given the line is all that can be said of "cd x". A claim
// covers all processes below its shell, and those that have lost their parents
// while it ran. The clock of a transcript is the sandbox's. A process is known by its
// number: an agent that executes very many processes may reuse one. An agent's program that
// its environment makes run something else is on record as the agent: only what it executes is
// judged. A script that a shell's line sources is not seen, and a program with the name of a
// helper's file is the helper, whatever its words are.
package claims

import "time"

// A Verdict says what became of a claim.
type Verdict string

// The verdicts.
const (
	Executed    Verdict = "executed"
	OtherStatus Verdict = "executed, other exit status than said"
	NotExecuted Verdict = "not executed"
	// AsSaid is a claim that was not executed, of which the transcript says so: it was refused,
	// or its program was not found.
	AsSaid Verdict = "not executed, as said"
	// NotTold is no claim: something was executed that no transcript tells.
	NotTold Verdict = "executed but not told"
)

// Fault says whether v shows that the transcript does not tell what happened.
func (v Verdict) Fault() bool { return v == OtherStatus || v == NotExecuted || v == NotTold }

// A Claim is one command line of a transcript. All of it comes from inside: escape it
// before printing.
type Claim struct {
	Agent string    `json:"agent"` // a name of [Agents]
	File  string    `json:"file"`  // of the transcript, below its folder
	Line  string    `json:"line"`
	Time  time.Time `json:"time"`           // when it was called
	Until time.Time `json:"until,omitzero"` // when its result was written; zero: there is none
	// Status are the exit statuses that the transcript's words fit; empty: it states none.
	Status []int `json:"status,omitempty"`
	// Failed says that the transcript tells of a failure without a status: a refusal.
	Failed bool `json:"failed,omitempty"`

	id     string
	given  string // what the program gives to a shell for it, where that is not Line
	output string // the beginning of it
	called bool   // by the model, not told by the program that ran it
}

// forShell is the line that a shell is given for c.
func (c *Claim) forShell() string {
	if c.given != "" {
		return c.given
	}
	return c.Line
}

// A Finding is the verdict on one claim, or on something that was executed.
type Finding struct {
	Verdict Verdict   `json:"verdict"`
	Time    time.Time `json:"time"`
	Line    string    `json:"line"`             // of the claim, or what was executed
	Why     string    `json:"why,omitempty"`    // of what is not simply executed
	Claim   *Claim    `json:"claim,omitempty"`  // nil: not told
	PID     int       `json:"pid,omitempty"`    // inside; of the shell, or of the program
	Status  *int      `json:"status,omitempty"` // that was seen
}

// An Own is a program that an agent started by itself, as agents are known to.
type Own struct {
	Program string `json:"program"`
	Count   int    `json:"count"`
}

// A Report is the comparison of one record with its transcripts.
type Report struct {
	Findings []Finding `json:"findings"`
	Own      []Own     `json:"own"`
	Notes    []string  `json:"notes,omitempty"` // what else is to be known; safe for a terminal
	Work     int       `json:"-"`               // words that were compared, for those who compare much
}

// Faults counts the findings that show a difference.
func (r *Report) Faults() int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Verdict.Fault() {
			n++
		}
	}
	return n
}
