package belljar

import (
	"errors"
	"strings"
)

// Kind classifies an [Error]; it decides the exit status.
type Kind int

// The kinds of errors that cross a package boundary.
const (
	KindInternal Kind = iota // belljar could not do it: 125
	KindUsage                // wrong words or values on the command line or in a policy file: 2
	KindRefused              // refused by policy, or not executable: 126
	KindNotFound             // the command does not exist: 127
	KindTime                 // the time limit ended it: 124
	KindMemory               // the memory limit ended it: 137
	KindNotHere              // this host lacks what is needed: 125
	KindConflict             // somebody else changed it meanwhile: 125
	KindNoSuch               // no sandbox or record of that name: 2
)

// ExitStatus is the exit status of the command line for k.
func (k Kind) ExitStatus() int {
	switch k {
	case KindUsage, KindNoSuch:
		return 2
	case KindRefused:
		return 126
	case KindNotFound:
		return 127
	case KindTime:
		return 124
	case KindMemory:
		return 137
	}
	return 125
}

// An Error is an error at a boundary: it names what was done, to what, why it
// failed and what the user can do.
type Error struct {
	Op   string // verb, lower case: "start sandbox", "read policy"
	ID   string // the thing: a path, a host, a name; may be empty
	Kind Kind
	Err  error
	Hint string // the remedy, one sentence, no period; may be empty
}

// Error formats as "op thing: reason".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.ID != "" {
		b.WriteString(" " + e.ID)
	}
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost [Error] in err's chain, KindInternal without one.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// HintOf is the hint of the outermost [Error] in err's chain that has one.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
