package belljar

import "slices"

// A CommandRule says what becomes of the commands that a pattern matches.
type CommandRule struct {
	// Verdict is "allow", "ask" or "deny".
	Verdict string `json:"verdict"`
	// Pattern is a list of words; a word * stands for any number of words.
	Pattern string `json:"pattern"`
	// Reason is what people and agents are told; it may be empty.
	Reason string `json:"reason,omitempty"`
	Origin Origin `json:"origin"`
}

// Commands is what a policy says of commands. Without a rule nothing is allowed.
type Commands struct {
	Rules   []CommandRule  `json:"rules"`
	Context CommandContext `json:"context"`
}

// Holds says whether a rule asks or denies: such rules hold when programs are executed,
// those that allow are for a judge of lines.
func (c *Commands) Holds() bool {
	return slices.ContainsFunc(c.Rules, func(r CommandRule) bool { return r.Verdict != "allow" })
}

// A CommandContext is where a command runs, as far as a judge of its text needs it.
// Paths are absolute; empty ones are filled in by whoever asks.
type CommandContext struct {
	Dir      string   `json:"dir"`      // the working folder, the top of the project
	Home     string   `json:"home"`     // HOME
	Writable []string `json:"writable"` // folders that may be written
	Programs []string `json:"programs"` // folders whose programs are what their names say
}

// A DeniedProgram is a rule for commands in a tier whose kernel asks nobody before it runs a
// program ([ReqDenied]).
type DeniedProgram struct {
	Verdict string `json:"verdict"` // "ask" or "deny"
	Pattern string `json:"pattern"`
	Reason  string `json:"reason,omitempty"`
	// Files are what the program is inside. A tier covers each, a link itself and not what it
	// leads to, by an empty file that nobody may read or execute. All of them exist, in what
	// nothing inside can write.
	Files []string `json:"files,omitempty"`
	// Gap says why the rule does not hold; empty: it does.
	Gap string `json:"gap,omitempty"`
}
