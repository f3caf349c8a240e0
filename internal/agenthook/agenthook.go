// Package agenthook is what agents' hooks and belljar say to each other: what an agent
// tells its hook before it runs a shell line ([Read]), the answer in the agent's own format
// ([Answer]), the settings that install the hook inside a sandbox ([Files]), and the hook
// itself ([Main]), which hands the line to the gateway's page and passes the answer on.
//
// The hook has one ability: to submit a line and receive a verdict. It decides nothing, holds
// nothing and is believed in nothing; whatever inside can submit lines, too. Where the gateway
// does not answer, the hook says no.
//
// # Limitations
//
// A hook is asked by the agent, which is hostile by assumption: it may leave the question out
// or run something else. It makes an honest agent stop where a person would; it holds nobody.
package agenthook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// Program is the hook's program inside a sandbox: belljar itself, which every tier puts there,
// read-only. Its first argument is [Word], its second the agent.
const Program = belljar.HelperPath

// Word is the program's first argument.
const Word = "hook"

// Page is the path of the gateway's page to which lines are submitted.
const Page = "/judge"

// Bounds of what is read.
const (
	MaxInput = 1 << 20   // of what an agent tells its hook
	MaxLine  = 300 << 10 // of a line; the judge has a bound of its own, below
	maxDir   = 4096
)

// Agents are those whose hooks are known.
func Agents() []string { return []string{"claude", "codex", "gemini", "opencode"} }

// A Call is a shell line that an agent is about to run. It is also the body that is submitted
// to [Page].
type Call struct {
	Agent string `json:"agent"`
	Line  string `json:"line"`
	Dir   string `json:"dir,omitempty"` // where it runs; empty or absolute
}

// Check says what is wrong with a call.
func (c *Call) Check() error {
	switch {
	case !slices.Contains(Agents(), c.Agent):
		return errors.New("agent is none of " + strings.Join(Agents(), ", "))
	case len(c.Line) > MaxLine:
		return fmt.Errorf("the line is longer than %d bytes", MaxLine)
	case len(c.Dir) > maxDir || c.Dir != "" && c.Dir[0] != '/':
		return errors.New("dir is no absolute path")
	}
	return nil
}

// A Verdict is the answer to a call: the line may run as far as belljar is concerned, or not
// and why.
type Verdict struct {
	Allow bool `json:"allow"`
	// Ask says that somebody has to be asked, where nobody outside could be yet.
	Ask    bool   `json:"ask,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// folders are the names under which an agent's tool takes the folder of a line; that of
// gemini's has had two.
var folders = map[string][]string{"codex": {"workdir"}, "gemini": {"directory", "dir_path"}, "opencode": {"workdir"}}

// Read reads what the agent tells its hook. The agents agree on the names, but for that of
// the folder; what opencode's plugin of ours sends has them, too. What two readers could take
// for two lines is an error: a name that is there twice, or in other letters.
func Read(agent string, b []byte) (Call, error) {
	if len(b) > MaxInput {
		return Call{}, fmt.Errorf("it is larger than %d bytes", MaxInput)
	}
	all, err := object(b, "cwd", "tool_input")
	if err != nil {
		return Call{}, err
	}
	in, err := object(all["tool_input"], append([]string{"command"}, folders[agent]...)...)
	if err != nil {
		return Call{}, err
	}
	line, err := command(in["command"])
	if err != nil {
		return Call{}, err
	}
	c := Call{Agent: agent, Line: line}
	if c.Dir, err = folder(all["cwd"]); err != nil {
		return Call{}, err
	}
	cwd, said := c.Dir, ""
	for _, name := range folders[agent] {
		d, err := folder(in[name])
		if err != nil || d != "" && said != "" && d != said {
			return Call{}, errors.New("its folder is not one text")
		}
		if d != "" {
			said, c.Dir = d, within(cwd, d)
		}
	}
	return c, c.Check()
}

// object reads the members of a JSON object. None is there twice, and those with names have
// exactly these: encoding/json alone takes "Command" for "command", and the last of two.
func object(b []byte, names ...string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON of a tool that runs a line")
	}
	all := map[string]json.RawMessage{}
	for d.More() {
		var value json.RawMessage
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, errors.New("it is no JSON of a tool that runs a line")
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("it has %.40q twice", name)
		}
		for _, n := range names {
			if name != n && strings.EqualFold(name, n) {
				return nil, fmt.Errorf("it has %.40q, which is not %q", name, n)
			}
		}
		all[name] = value
	}
	if _, err := d.Token(); err != nil { // its end
		return nil, errors.New("it is no JSON of a tool that runs a line")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something stands behind it")
	}
	return all, nil
}

// folder is a text that may be missing.
func folder(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 {
		return "", nil
	}
	if json.Unmarshal(raw, &s) != nil {
		return "", errors.New("a folder is no text")
	}
	return s, nil
}

// command is a line, or the words of one.
func command(raw json.RawMessage) (string, error) {
	var line string
	if json.Unmarshal(raw, &line) == nil && len(raw) > 0 && raw[0] == '"' {
		return line, nil
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || slices.Contains(list, nil) {
		return "", errors.New("it has no command")
	}
	var words []string
	for _, w := range list {
		words = append(words, "'"+strings.ReplaceAll(*w, "'", `'\''`)+"'")
	}
	return strings.Join(words, " "), nil
}

// within is a folder as an agent names it, seen from its working folder.
func within(dir, d string) string {
	if strings.HasPrefix(d, "/") || dir == "" {
		return d
	}
	return strings.TrimSuffix(dir, "/") + "/" + d
}

// Answer is what a hook prints to tell its agent the verdict; nothing where the line may
// run: then the agent's own permissions decide.
func Answer(agent string, v Verdict) []byte {
	if v.Allow {
		return nil
	}
	decision := "deny"
	if v.Ask && agent == "claude" { // the others know no such answer
		decision = "ask"
	}
	reason := "belljar: " + v.Reason
	var out any = map[string]string{"decision": decision, "reason": reason}
	if agent == "claude" || agent == "codex" {
		out = map[string]any{"hookSpecificOutput": map[string]string{
			"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason,
		}}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil // strings only
	}
	return append(b, '\n')
}
