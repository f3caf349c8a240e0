package claims

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// codexLine is what is read of a line of Codex' sessions.
type codexLine struct {
	Timestamp time.Time `json:"timestamp"`
	Type      string    `json:"type"`
	Payload   struct {
		Type   string          `json:"type"`
		Name   string          `json:"name"`
		CallID string          `json:"call_id"`
		Args   string          `json:"arguments"` // of a function, JSON
		Input  string          `json:"input"`     // of a custom tool: a program
		Output json.RawMessage `json:"output"`
		Action struct {
			Command []string `json:"command"`
		} `json:"action"`
		// Of exec_command_begin and _end, and of an item.
		Command json.RawMessage `json:"command"`
		Exit    *int            `json:"exit_code"`
		Item    struct {
			Type    string          `json:"type"`
			ID      string          `json:"id"`
			Command json.RawMessage `json:"command"`
			Exit    *int            `json:"exit_code"`
			Status  string          `json:"status"`
			Output  string          `json:"aggregated_output"`
			Started int64           `json:"started_at_ms"`
		} `json:"item"`
		Started int64 `json:"started_at_ms"`
	} `json:"payload"`
}

// codex reads what the model called and what the program says that it ran for it. Most
// calls are told twice; [codex.claims] joins them.
type codex struct {
	calls []*Claim // of the model
	ran   []*Claim // of the program
	open  map[string][]*Claim
	begun map[string]*Claim
}

func newCodex() lineReader {
	return &codex{open: map[string][]*Claim{}, begun: map[string]*Claim{}}
}

func (c *codex) line(b []byte) {
	var l codexLine
	if json.Unmarshal(b, &l) != nil || len(c.calls)+len(c.ran) > maxClaims {
		return
	}
	p := &l.Payload
	switch p.Type {
	case "function_call", "custom_tool_call", "local_shell_call":
		for _, line := range codexCalls(&l) {
			claim := &Claim{Line: line, Time: l.Timestamp, id: p.CallID, called: true}
			c.calls = append(c.calls, claim)
			c.open[p.CallID] = append(c.open[p.CallID], claim)
		}
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output":
		open := c.open[p.CallID]
		delete(c.open, p.CallID)
		for _, claim := range open {
			claim.Until, claim.output = l.Timestamp, textOf(p.Output)
			if len(open) == 1 { // else which of them it is about is not known
				claim.Status = codexStatus(claim.output)
			}
		}
	case "exec_command_begin":
		if line, ok := codexLineOf(p.Command); ok {
			c.begun[p.CallID] = &Claim{Line: line, Time: l.Timestamp, id: p.CallID}
			c.ran = append(c.ran, c.begun[p.CallID])
		}
	case "exec_command_end":
		if claim := c.begun[p.CallID]; claim != nil {
			claim.Until, claim.Status = l.Timestamp, statusOf(p.Exit)
			delete(c.begun, p.CallID)
		}
	case "item_completed":
		c.item(&l)
	}
}

func (c *codex) item(l *codexLine) {
	it := &l.Payload.Item
	line, ok := codexLineOf(it.Command)
	if it.Type != "CommandExecution" || !ok {
		return
	}
	claim := &Claim{Line: line, Time: l.Timestamp, Until: l.Timestamp, id: it.ID, Status: statusOf(it.Exit), output: it.Output[:min(len(it.Output), maxOutput)]}
	if ms := max(it.Started, l.Payload.Started); ms > 0 && time.UnixMilli(ms).Before(l.Timestamp) {
		claim.Time = time.UnixMilli(ms).UTC()
	}
	claim.Failed = claim.Status == nil && it.Status == "declined"
	c.ran = append(c.ran, claim)
}

// claims joins what the model called with what the program ran for it: the same line,
// between the call and its result.
func (c *codex) claims() []*Claim {
	all := c.ran
	taken := map[*Claim]bool{}
	byLine := map[string][]*Claim{}
	for _, r := range c.ran {
		byLine[strings.TrimSpace(r.Line)] = append(byLine[strings.TrimSpace(r.Line)], r)
	}
	for _, call := range c.calls {
		joined := false
		line := strings.TrimSpace(call.Line)
		list := byLine[line]
		for len(list) > 0 && (taken[list[0]] || list[0].Until.Before(call.Time)) {
			list = list[1:] // calls are in order
		}
		byLine[line] = list
		for _, r := range list[:min(len(list), maxBack)] {
			if !taken[r] && !r.Until.Before(call.Time) && (call.Until.IsZero() || !r.Time.After(call.Until.Add(time.Second))) {
				taken[r], joined = true, true
				// What is told of it in two ways has to be one thing.
				if call.Status != nil && r.Status != nil && call.Status[0] != r.Status[0] {
					joined = false
				} else if call.Time.Before(r.Time) {
					r.Time = call.Time
				}
				break
			}
		}
		if !joined {
			all = append(all, call)
		}
	}
	return all
}

func statusOf(n *int) []int {
	if n == nil || *n < 0 {
		return nil
	}
	return []int{*n}
}

// codexLineOf is the line of a command: the script of a shell, or the words quoted.
func codexLineOf(raw json.RawMessage) (string, bool) {
	var argv []string
	if json.Unmarshal(raw, &argv) != nil || len(argv) == 0 {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil && s != ""
	}
	return lineOf(argv), true
}

func lineOf(argv []string) string {
	if s, ok := script(argv); ok {
		return s
	}
	return words(argv)
}

// words are argv as a shell would have to be given it.
func words(argv []string) string {
	var list []string
	for _, a := range argv {
		list = append(list, "'"+strings.ReplaceAll(a, "'", `'"'"'`)+"'")
	}
	return strings.Join(list, " ")
}

// inProgram finds the calls of a program that the model wrote: exec_command({cmd: "…"}).
var inProgram = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`exec_command\(\s*\{[^{}"]*?"?cmd"?\s*:\s*("(?:[^"\\]|\\.)*")`)
})

// codexCalls are the command lines of a call.
func codexCalls(l *codexLine) []string {
	p := &l.Payload
	if p.Type == "local_shell_call" && len(p.Action.Command) > 0 {
		return []string{lineOf(p.Action.Command)}
	}
	if p.Type == "custom_tool_call" {
		var lines []string
		for _, m := range inProgram().FindAllStringSubmatch(p.Input, 1000) {
			var s string
			if json.Unmarshal([]byte(m[1]), &s) == nil {
				lines = append(lines, s)
			}
		}
		return lines
	}
	var args struct {
		Cmd     string          `json:"cmd"`
		Command json.RawMessage `json:"command"`
	}
	switch p.Name {
	case "shell", "exec_command", "local_shell", "shell_command", "container.exec":
	default:
		return nil
	}
	if json.Unmarshal([]byte(p.Args), &args) != nil {
		return nil
	}
	if args.Cmd != "" {
		return []string{args.Cmd}
	}
	if line, ok := codexLineOf(args.Command); ok {
		return []string{line}
	}
	return nil
}

var exitCode = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:"exit_code":\s*|[Ee]xited with code |Exit code: )(\d{1,3})\b`)
})

// codexStatus is the first exit status that a result states.
func codexStatus(output string) []int {
	m := exitCode().FindStringSubmatch(output)
	if m == nil {
		return nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return nil
	}
	return []int{n}
}
