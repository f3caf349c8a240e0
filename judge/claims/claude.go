package claims

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// claudeLine is what is read of a line of Claude Code's sessions.
type claudeLine struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Message   struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	Result json.RawMessage `json:"toolUseResult"`
}

type claudePart struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	Input struct {
		Command    string `json:"command"`
		Background bool   `json:"run_in_background"`
	} `json:"input"`
	ToolUse string          `json:"tool_use_id"`
	Content json.RawMessage `json:"content"`
	Error   bool            `json:"is_error"`
}

// claudeResult is what the program says of a call besides.
type claudeResult struct {
	Interrupted    bool   `json:"interrupted"`
	BackgroundTask string `json:"backgroundTaskId"`
	Interpretation string `json:"returnCodeInterpretation"`
}

// claude reads calls and the results that belong to them, by their id.
type claude struct {
	all  []*Claim
	open map[string]*claudeOpen
}

type claudeOpen struct {
	claim      *Claim
	background bool
}

func newClaude() lineReader { return &claude{open: map[string]*claudeOpen{}} }

func (c *claude) claims() []*Claim { return c.all }

func (c *claude) line(b []byte) {
	// Most lines are of no interest, and long.
	if !bytes.Contains(b, []byte(`tool_`)) {
		return
	}
	var l claudeLine
	var parts []claudePart
	if json.Unmarshal(b, &l) != nil || json.Unmarshal(l.Message.Content, &parts) != nil {
		return
	}
	for _, p := range parts {
		switch {
		case l.Type == "assistant" && p.Type == "tool_use" && p.Name == "Bash" && len(c.all) <= maxClaims:
			claim := &Claim{Line: p.Input.Command, Time: l.Timestamp, id: p.ID}
			c.all = append(c.all, claim)
			c.open[p.ID] = &claudeOpen{claim, p.Input.Background}
		case l.Type == "user" && p.Type == "tool_result" && c.open[p.ToolUse] != nil:
			c.open[p.ToolUse].result(&l, &p)
			delete(c.open, p.ToolUse)
		}
	}
}

func (o *claudeOpen) result(l *claudeLine, p *claudePart) {
	c := o.claim
	c.Until, c.output = l.Timestamp, textOf(p.Content)
	var r claudeResult
	_ = json.Unmarshal(l.Result, &r) // a text, where the call failed
	switch rest, ok := strings.CutPrefix(c.output, "Exit code "); {
	case r.Interrupted || o.background || r.BackgroundTask != "":
	case p.Error && ok:
		digits, _, _ := strings.Cut(rest, "\n")
		if n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 8); err == nil {
			c.Status = []int{int(n)}
		}
	case p.Error:
		c.Failed = true
	case r.Interpretation != "": // of grep, say, which ends with 1 where it finds nothing
		c.Status = []int{0, 1}
	default:
		c.Status = []int{0}
	}
}

// textOf is the beginning of a result: a text, or a list of parts with texts.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		var parts []struct {
			Text string `json:"text"`
		}
		_ = json.Unmarshal(raw, &parts)
		for _, p := range parts {
			s += p.Text + "\n"
			if len(s) > maxOutput {
				break
			}
		}
	}
	return s[:min(len(s), maxOutput)]
}
