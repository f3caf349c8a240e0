package claims

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// geminiMessage is what is read of a message of Gemini CLI.
type geminiMessage struct {
	Time  time.Time    `json:"timestamp"`
	Calls []geminiCall `json:"toolCalls"`
}

// geminiLine is a line of Gemini CLI's sessions: a message, or some that take the place of all
// before.
type geminiLine struct {
	geminiMessage
	Messages []geminiMessage `json:"messages"`
	Set      struct {
		Messages []geminiMessage `json:"messages"`
	} `json:"$set"`
}

type geminiCall struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Args struct {
		Command    string `json:"command"`
		Background bool   `json:"is_background"`
	} `json:"args"`
	Result []struct {
		Function struct {
			Response struct {
				Output string `json:"output"`
			} `json:"response"`
		} `json:"functionResponse"`
	} `json:"result"`
	Status  string          `json:"status"`
	Time    time.Time       `json:"timestamp"`
	Display json.RawMessage `json:"resultDisplay"`
}

// gemini reads calls, which are written again whenever more of them is known: what was told once
// stays told, also where the line of a call is another one later.
type gemini struct {
	all  []*Claim
	byID map[geminiKey]*Claim
}

type geminiKey struct{ id, line string }

func newGemini() lineReader { return &gemini{byID: map[geminiKey]*Claim{}} }

func (g *gemini) claims() []*Claim { return g.all }

func (g *gemini) line(b []byte) {
	if !bytes.Contains(b, []byte(`"toolCalls"`)) {
		return
	}
	var l geminiLine
	if json.Unmarshal(b, &l) != nil {
		return
	}
	for _, list := range [][]geminiMessage{{l.geminiMessage}, l.Messages, l.Set.Messages} {
		for i := range list {
			for j := range list[i].Calls {
				g.call(&list[i].Calls[j], list[i].Time)
			}
		}
	}
}

func (g *gemini) call(c *geminiCall, at time.Time) {
	k := geminiKey{c.ID, c.Args.Command}
	claim := g.byID[k]
	if c.Name != "run_shell_command" || claim == nil && len(g.all) > maxClaims {
		return
	}
	if claim == nil {
		claim = &Claim{Line: c.Args.Command, given: geminiGiven(c.Args.Command), Time: at, id: c.ID}
		g.all = append(g.all, claim)
		g.byID[k] = claim
	}
	claim.Status, claim.Failed = nil, false
	switch c.Status {
	case "success":
		claim.Until = c.Time
	case "error", "cancelled":
		claim.Until, claim.Failed = c.Time, true
	}
	if len(c.Result) != 1 || c.Args.Background {
		return
	}
	output := c.Result[0].Function.Response.Output
	claim.output = output[:min(len(output), maxOutput)]
	if s, ok := geminiStatus(output, c.Display); ok && c.Status == "success" {
		claim.Status = []int{s}
	}
}

// geminiEnd is what stands behind the output of a line: of an exit status that is not told it is
// known that it is 0, if no signal is.
var geminiEnd = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:\nExit Code: (\d{1,3}))?(\nSignal: \S+)?(?:\nBackground PIDs: [\d, ]+)?\nProcess Group PGID: \d+\s*(?:</untrusted_context>\s*)?$`)
})

// geminiStatus is the exit status that the result of a line states. The output, which can end as
// the result does, is known from what was shown to the user.
func geminiStatus(result string, display json.RawMessage) (int, bool) {
	var shown string
	if json.Unmarshal(display, &shown) == nil && shown != "" {
		if _, rest, ok := strings.Cut(result, "Output: "+shown); ok {
			result = rest
		}
	}
	m := geminiEnd().FindStringSubmatch(result[max(0, len(result)-maxOutput):])
	if m == nil || m[2] != "" {
		return 0, false
	}
	if m[1] == "" {
		return 0, true
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

// geminiShell is what Gemini CLI puts around a line that it gives to a shell.
var geminiShell = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?s)^shopt -u [a-z ]+; _bgpids_file=(?:[\w./-]+|'[^']+')\n\(\n  trap 'jobs -p > "\$_bgpids_file"' EXIT\n(.*)\n\)\n__code=\$\?\nexit \$__code$`)
})

var geminiUnwrapped = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?is)^\s*(?:\S+/)?(?:sh|bash|zsh)\s+-c\s+(.*)$`)
})

// geminiGiven is what Gemini CLI gives to its shell where the model asks for a shell with a line:
// the line.
func geminiGiven(line string) string {
	m := geminiUnwrapped().FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	s := strings.TrimSpace(m[1])
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return s
	}
	quoted, inner := s[0], s[1:len(s)-1]
	if quoted == '"' {
		return unescape(inner, "$`\"\\\n")
	}
	return inner
}
