package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/belljar-dev/belljar"
)

// A RefusedCommand is a program that a rule for commands kept from running, and why.
type RefusedCommand struct {
	Command string `json:"command"`
	Reason  string `json:"reason"`
}

// refusedCommands are the newest ones.
type refusedCommands struct {
	mu   sync.Mutex
	list []RefusedCommand // the oldest first
}

const (
	maxRefusedCommands = 20
	maxRefusedText     = 1 << 10
)

// Refused lets the gateway's page tell that a command did not run. It is safe for concurrent
// use; the newest [maxRefusedCommands] are kept.
func (g *Gateway) Refused(command, reason string) {
	c := RefusedCommand{command[:min(len(command), maxRefusedText)], reason[:min(len(reason), maxRefusedText)]}
	l := &g.commands
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= maxRefusedCommands {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, c)
}

func (g *Gateway) refusedCommands() []RefusedCommand {
	l := &g.commands
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append([]RefusedCommand{}, l.list...)
	slices.Reverse(out)
	return out
}

// A DeniedProgram is a program that cannot run inside, and why.
type DeniedProgram struct {
	Files  []string `json:"files"`
	Reason string   `json:"reason"`
}

// deniedPrograms are those that are kept from running.
func deniedPrograms(l []belljar.DeniedProgram) (out []DeniedProgram) {
	for _, d := range l {
		if d.Gap == "" && len(d.Files) > 0 {
			out = append(out, DeniedProgram{d.Files, fmt.Sprintf("%s (rule %s)", cmp.Or(d.Reason, "the policy denies it"), d.Pattern)})
		}
	}
	return out
}
