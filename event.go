package belljar

import (
	"context"
	"time"
)

// EventKind names what an [Event] tells.
type EventKind string

// The kinds of events of the record.
const (
	EventStart    EventKind = "start"    // first: who, where, which binary, policy and plan
	EventPlan     EventKind = "plan"     // the plan, whole
	EventTake     EventKind = "take"     // a sandbox that waited in a pool was taken: its command
	EventExec     EventKind = "exec"     // a program was executed (or refused)
	EventExit     EventKind = "exit"     // a process ended
	EventConnect  EventKind = "connect"  // a connection that the gateway made, told when it ends
	EventRequest  EventKind = "request"  // a request that the gateway judged and sent, told when it ends
	EventRefuse   EventKind = "refuse"   // the gateway refused a name, an address or a request
	EventFile     EventKind = "file"     // a file passed to the host or is held
	EventLimit    EventKind = "limit"    // a limit was reached
	EventSampled  EventKind = "sampled"  // so many events of a kind were not written
	EventAsk      EventKind = "ask"      // somebody outside is asked, because of a rule or a proposal
	EventAnswer   EventKind = "answer"   // what became of it
	EventJudge    EventKind = "judge"    // an agent's hook submitted a shell line, and was answered
	EventPublish  EventKind = "publish"  // a port of the sandbox is reachable on the host
	EventTerminal EventKind = "terminal" // something dangerous was dropped from the terminal's output
	EventSegment  EventKind = "segment"  // the record goes on in its next file
	EventEnd      EventKind = "end"      // last: why it ended
)

// Droppable says whether events of kind k may be sampled under load. Exec, exit,
// refusal and limit events never are.
func (k EventKind) Droppable() bool {
	return k == EventConnect || k == EventRequest || k == EventFile || k == EventTerminal
}

// An Event is one thing that happened, as seen from outside the sandbox. Exactly
// the field that belongs to its kind is set. Strings that came from inside are
// raw: whoever prints them escapes them (package terminal).
type Event struct {
	Kind EventKind `json:"kind"`
	Time time.Time `json:"time"` // the record sets it when zero

	Start    *StartEvent    `json:"start,omitempty"`
	Plan     *Plan          `json:"plan,omitempty"`
	Take     *TakeEvent     `json:"take,omitempty"`
	Exec     *ExecEvent     `json:"exec,omitempty"`
	Exit     *ExitEvent     `json:"exit,omitempty"`
	Net      *NetEvent      `json:"net,omitempty"` // connect, request, refuse, publish
	Ask      *AskEvent      `json:"ask,omitempty"` // ask, answer
	Judge    *JudgeEvent    `json:"judge,omitempty"`
	File     *FileEvent     `json:"file,omitempty"`
	Limit    *LimitEvent    `json:"limit,omitempty"`
	Sampled  *SampledEvent  `json:"sampled,omitempty"`
	Terminal *TerminalEvent `json:"terminal,omitempty"`
	Segment  *SegmentEvent  `json:"segment,omitempty"`
	End      *EndEvent      `json:"end,omitempty"`
}

// SegmentEvent is the first line of each file of a record but the first.
type SegmentEvent struct {
	ID     string `json:"id"`     // of the sandbox
	Index  int    `json:"index"`  // of the file, from 1
	Before int64  `json:"before"` // bytes of the record in the files before
}

// StartEvent opens a record.
type StartEvent struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Argv      []string `json:"argv"`
	Workspace string   `json:"workspace"`
	Tier      string   `json:"tier"`
	Version   string   `json:"version"`
	Binary    string   `json:"binary"` // SHA-256 of the running program
	Policy    string   `json:"policy"` // SHA-256 of the merged policy
	UID       int      `json:"uid"`
	Host      string   `json:"host"`
	// Warm says that it was made for whoever comes: Argv is not what ran, but Argv of its
	// [TakeEvent]. Without one nothing ran.
	Warm bool `json:"warm,omitempty"`
	// Previous is the head of the record that this user's state closed last: it
	// anchors that record in this one.
	Previous string `json:"previous,omitempty"`
	// Key is the public key, in base64, that the heads of this user's records are signed with.
	Key string `json:"key,omitempty"`
}

// TakeEvent says what a sandbox that was started for whoever comes is used for.
type TakeEvent struct {
	Argv []string  `json:"argv"`
	Dir  string    `json:"dir"`
	Made time.Time `json:"made"` // when the sandbox was
	By   string    `json:"by"`
}

// ExecEvent is one execve, in the kernel's own copy.
type ExecEvent struct {
	PID       int      `json:"pid"` // inside
	Parent    int      `json:"parent,omitempty"`
	Path      string   `json:"path"`             // of the file: of a script, the script's
	Called    string   `json:"called,omitempty"` // the path that was asked for, where it is another
	Argv      []string `json:"argv"`
	Dir       string   `json:"dir,omitempty"`
	Truncated int      `json:"truncated,omitempty"` // bytes of argv that were cut
	Refused   string   `json:"refused,omitempty"`   // why, when it was refused

	// Digest is the SHA-256 of all arguments as they are, where the tier tells it: Argv may be
	// cut, and is text.
	Digest string `json:"-"`
}

// ExitEvent is the end of a process inside.
type ExitEvent struct {
	PID    int        `json:"pid"`
	Status ExitStatus `json:"status"`
}

// NetEvent is a connection, a request, or the refusal of one.
type NetEvent struct {
	Proto    string  `json:"proto"`             // dns, tcp, tls, http, socks, udp, icmp, ip, publish
	Host     string  `json:"host,omitempty"`    // name, canonical
	Addr     string  `json:"addr,omitempty"`    // address dialled or tried
	Port     uint16  `json:"port,omitempty"`    //
	Rule     *Origin `json:"rule,omitempty"`    // the rule that allowed it
	Nearest  *Origin `json:"nearest,omitempty"` // the rule that came nearest, for refusals
	Missing  bool    `json:"missing,omitempty"` // refused because no rule is about it, and for no other reason
	Reason   string  `json:"reason,omitempty"`  // why it was refused or failed
	Fix      string  `json:"fix,omitempty"`     // the line that would allow it; empty when nothing may
	Sent     int64   `json:"sent,omitempty"`    // bytes, sandbox to host
	Received int64   `json:"received,omitempty"`
	Millis   int64   `json:"millis,omitempty"`
	Count    int64   `json:"count,omitempty"` // so many identical ones, when more than one
	// Of a request. Path is canonical and without the query, which may hold secrets;
	// Sent and Received count its bodies. Reason says what was wrong with it although
	// it was sent.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Status int    `json:"status,omitempty"` // of the answer that went inside; 0: none did
	// Credential names what was put in, or, of a refusal, whose stand-in was found where
	// it does not belong; several are separated by a comma.
	Credential string `json:"credential,omitempty"`
	// Program is the file of the program that opened the connection, where that was asked.
	Program string `json:"program,omitempty"`
	// LLM is what a request to a model used.
	LLM *LLMSpent `json:"llm,omitempty"`
}

// AskEvent is a question to somebody outside, or what became of it. Note comes from
// inside.
type AskEvent struct {
	ID       string  `json:"id,omitempty"`   // of the question; empty where a rule was added without one
	Host     string  `json:"host,omitempty"` // or an address
	Port     uint16  `json:"port,omitempty"`
	Method   string  `json:"method,omitempty"` // of a request; empty: a connection, or a command
	Path     string  `json:"path,omitempty"`   // canonical, without the query
	Proposed bool    `json:"proposed,omitempty"`
	Note     string  `json:"note,omitempty"`
	Rule     *Origin `json:"rule,omitempty"` // the rule that asks
	Command  string  `json:"command,omitempty"`
	Answer   string  `json:"answer,omitempty"` // allowed, denied, expired, ended
	Scope    string  `json:"scope,omitempty"`  // of what is allowed: once, sandbox, always
	By       string  `json:"by,omitempty"`     // who answered
}

// JudgeEvent is a line that an agent's hook submitted before the agent ran it, and what
// became of it. The agent, the line and the folder come from inside.
type JudgeEvent struct {
	Agent   string `json:"agent"`
	Line    string `json:"line"`
	Dir     string `json:"dir,omitempty"`
	Verdict string `json:"verdict"` // of the rules: allow, ask, deny
	Answer  string `json:"answer"`  // what the hook was told: allowed, denied
	Reason  string `json:"reason,omitempty"`
	Rule    string `json:"rule,omitempty"` // the pattern or guard that decided
	Part    string `json:"part,omitempty"` // of the line, that it is about
	// Of a line that was cut: the bytes that are missing, and the SHA-256 of the whole one.
	Truncated int    `json:"truncated,omitempty"`
	Digest    string `json:"digest,omitempty"`
}

// FileEvent is a change below the workspace.
type FileEvent struct {
	Path    string `json:"path"` // relative to the workspace, slashes
	Op      string `json:"op"`   // write, create, mkdir, remove, rename, link, symlink, chmod; commit: To is the commit that brings Path
	To      string `json:"to,omitempty"`
	Verdict string `json:"verdict"`          // pass, hold, deny, hide
	Class   string `json:"class,omitempty"`  // self-running, user-run, link, …; empty for ordinary files
	Reason  string `json:"reason,omitempty"` // why it is held or refused
}

// LimitEvent says that a limit was reached.
type LimitEvent struct {
	Limit string `json:"limit"` // memory, processes, cpus, disk, files, time, log, connections, tokens, model requests
	Max   int64  `json:"max"`
	Used  int64  `json:"used"`
	Ended bool   `json:"ended"` // it ended the run; otherwise the call failed inside
}

// SampledEvent counts events that were not written one by one.
type SampledEvent struct {
	Of    EventKind `json:"of"`
	Count int64     `json:"count"`
}

// TerminalEvent says that bytes from inside were kept from the user's terminal.
type TerminalEvent struct {
	What  string `json:"what"`
	Count int64  `json:"count"`
}

// EndEvent closes a record.
type EndEvent struct {
	End
	Status    int   `json:"status"` // the exit status of the run
	Millis    int64 `json:"millis"`
	Passed    int   `json:"passed"`
	Held      int   `json:"held"`
	Commands  int   `json:"commands"`
	MaxMemory int64 `json:"max_memory"`
	// Argv is the command of a sandbox that was taken from a pool: what its start does not
	// know.
	Argv []string `json:"argv,omitempty"`
}

// An EventSink takes events. Implementations are safe for concurrent use.
type EventSink interface {
	// Record writes e. When it returns nil for a kind that is not
	// [EventKind.Droppable], the event survives a kill of this process; it may block
	// for that. Droppable kinds never block longer than a write.
	Record(ctx context.Context, e Event) error
}
