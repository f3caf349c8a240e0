package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
)

const (
	// MaxHead bounds the commands of a push, and what is read of a fetch.
	MaxHead = 1 << 20
	// maxCommands bounds the references of one push.
	maxCommands = 1000
)

// A Budget is the memory that all requests under way may hold together. The zero value
// holds nothing; it is safe for concurrent use.
type Budget struct {
	left    atomic.Int64
	inflate pace
}

// NewBudget is a budget of n bytes.
func NewBudget(n int64) *Budget {
	b := new(Budget)
	b.left.Store(n)
	return b
}

// Left is what could be held now.
func (b *Budget) Left() int64 { return b.left.Load() }

var errBudget = errors.New("too many pushes at once, or too many commits in them: push less at a time")

func (b *Budget) take(n int64) error {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return errBudget
	}
	return nil
}

// A Command is what a push wants of one reference.
type Command struct {
	Old, New string // lower-case hexadecimal ids; all zeros for none
	Ref      string
}

// creates says whether there must be no such reference yet.
func (c *Command) creates() bool { return strings.Trim(c.Old, "0") == "" }

// A Push is the head of a push. Close gives back what it holds.
type Push struct {
	Commands []Command // empty: the probe that git sends before a large push

	reports, bands bool // the client understands reports, and words beside them
	idLen          int  // 40 or 64 digits
	budget         *Budget

	mu     sync.Mutex // the pack is read while others ask how it stands
	held   int64
	closed bool
	no     *NotForward
}

// Close gives the memory back. Idempotent, and safe while the pack is read, which then
// fails.
func (p *Push) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget.left.Add(p.held)
	p.held, p.closed = 0, true
}

// hold takes n bytes of the budget. A push that is too large is refused; one that is closed
// meanwhile, because the server has gone, is no refusal.
func (p *Push) hold(n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return io.ErrClosedPipe
	}
	if err := p.budget.take(n); err != nil {
		return &NotForward{Why: err.Error()}
	}
	p.held += n
	return nil
}

// open fails once the push is closed.
func (p *Push) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return io.ErrClosedPipe
	}
	return nil
}

func (p *Push) release(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, p.held)
	p.held -= n
	p.budget.left.Add(n)
}

// ReadPush reads the commands of a push from r, up to where the pack begins. The head
// is what was read, with the lengths of its lines written as git writes them. On error
// the push is refused as a whole; the error says why in one sentence, for people. The
// caller closes the push, which is never nil.
func ReadPush(r *bufio.Reader, budget *Budget) (p *Push, head []byte, err error) {
	p = &Push{budget: budget, idLen: 40}
	room := func(n int) ([]byte, error) {
		if len(head)+n > MaxHead {
			return nil, fmt.Errorf("the commands are larger than %d KiB", MaxHead>>10)
		}
		return make([]byte, n), p.hold(3 * int64(n)) // here, in the head, in a command
	}
	for {
		kind, data, err := readPkt(r, room)
		switch {
		case errors.Is(err, io.EOF):
			return p, nil, errors.New("the commands have no end")
		case err != nil:
			return p, nil, err
		case kind == pktFlush:
			return p, append(head, "0000"...), p.wellFormed(r)
		case kind != pktData:
			return p, nil, ErrPkt
		}
		head = appendPkt(head, string(data))
		if err := p.line(string(data)); err != nil {
			return p, nil, err
		}
	}
}

// line reads one line of the head.
func (p *Push) line(s string) error {
	switch {
	case strings.HasPrefix(s, "push-cert"):
		_, caps, _ := strings.Cut(s, "\x00")
		p.words(caps)
		return errors.New("signed pushes (push-cert) are not allowed: push without --signed")
	case strings.HasPrefix(s, "shallow "):
		id := strings.TrimSuffix(s[len("shallow "):], "\n")
		if len(p.Commands) > 0 || !isID(id, 40) && !isID(id, 64) {
			return errors.New("a malformed shallow line")
		}
		return nil
	}
	if len(p.Commands) == 0 {
		var caps string
		var found bool
		if s, caps, found = strings.Cut(s, "\x00"); found {
			if err := p.abilities(caps); err != nil {
				return err
			}
		}
	}
	if len(p.Commands) == maxCommands {
		return fmt.Errorf("more than %d references in one push", maxCommands)
	}
	c, err := p.command(strings.TrimSuffix(s, "\n"))
	if err != nil {
		return err
	}
	p.Commands = append(p.Commands, c)
	return nil
}

// command reads OLD SP NEW SP REF.
func (p *Push) command(s string) (c Command, err error) {
	old, rest, _ := strings.Cut(s, " ")
	id, ref, ok := strings.Cut(rest, " ")
	if !ok || !isID(old, p.idLen) || !isID(id, p.idLen) {
		return c, errors.New("a malformed command")
	}
	if err := checkRef(ref); err != nil {
		return c, err
	}
	for i := range p.Commands {
		if p.Commands[i].Ref == ref {
			return c, fmt.Errorf("two commands for %s", ref)
		}
	}
	return Command{old, id, ref}, nil
}

// abilities reads what the client asks of the server. What is unknown may change what
// follows, and is refused.
func (p *Push) abilities(s string) error {
	for _, word := range p.words(s) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "report-status", "report-status-v2", "side-band-64k", "quiet", "atomic", "ofs-delta", "delete-refs", "agent", "session-id":
		case "object-format":
			switch value {
			case "sha1":
			case "sha256":
				p.idLen = 64
			default:
				return errors.New("an unknown object format")
			}
		case "push-options":
			return errors.New("push options are not allowed: push without -o")
		case "push-cert":
			return errors.New("signed pushes (push-cert) are not allowed: push without --signed")
		default:
			return errors.New("an unknown capability: " + printable(name))
		}
	}
	return nil
}

// words splits a list of capabilities, and notes in which form reports are understood.
func (p *Push) words(s string) []string {
	l := strings.Fields(strings.TrimSuffix(s, "\n"))
	p.reports = p.reports || slices.Contains(l, "report-status") || slices.Contains(l, "report-status-v2")
	p.bands = p.bands || slices.Contains(l, "side-band-64k")
	return l
}

// wellFormed looks at the head as a whole. Without commands nothing may follow.
func (p *Push) wellFormed(r *bufio.Reader) error {
	if len(p.Commands) > 0 {
		return nil
	}
	if _, err := r.Peek(1); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return errors.New("a pack without commands")
	}
	return nil
}

// isID says whether s is an object's id of n digits.
func isID(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// checkRef says what is wrong with the name of a reference: git's own rules, and no
// name outside of refs/.
func checkRef(ref string) error {
	bad := fmt.Errorf("%s is no name of a reference", printable(ref))
	if len(ref) > 1024 || !strings.HasPrefix(ref, "refs/") || !utf8.ValidString(ref) ||
		strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.HasSuffix(ref, ".") {
		return bad
	}
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return bad
		}
	}
	if strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }) {
		return bad
	}
	return nil
}

// A Refusal says why a command is refused, in one sentence without a period.
type Refusal struct {
	Ref, Why string
	// Place says that a pattern for Ref would allow it.
	Place bool
}

// Judge says which commands are refused where only references that match one of
// patterns may be created and fast-forwarded; nil when the push may be sent. Whether
// updates are fast-forwards [Push.Pack] finds out.
func (p *Push) Judge(patterns []string) (no []Refusal) {
	for i := range p.Commands {
		c := &p.Commands[i]
		matches := false
		for _, pattern := range patterns {
			matches = matches || belljar.MatchPath(pattern, c.Ref)
		}
		switch {
		case strings.Trim(c.New, "0") == "":
			no = append(no, Refusal{Ref: c.Ref, Why: "references are not deleted from a sandbox"})
		case !matches:
			no = append(no, Refusal{c.Ref, "the policy allows " + strings.Join(patterns, ", "), true})
		case strings.HasPrefix(c.Ref, "refs/tags/") && !c.creates() && c.Old != c.New:
			no = append(no, Refusal{Ref: c.Ref, Why: "tags are not moved from a sandbox"})
		}
	}
	return no
}

// Report is the answer to a push of which nothing was done: git prints it. The words
// are lines; references without a refusal of their own are refused with the others, and
// without any the push as a whole is. ok is false where the client asks for no report.
func (p *Push) Report(no []Refusal, words ...string) (body []byte, ok bool) {
	if !p.reports {
		return nil, false
	}
	state := "ok"
	if len(no) == 0 {
		state = strings.Join(words[:min(1, len(words))], "")
	}
	report := appendPkt(nil, "unpack "+state+"\n")
	for i := range p.Commands {
		why := "belljar refused the push"
		for _, r := range no {
			if r.Ref == p.Commands[i].Ref {
				why = "belljar: " + r.Why
			}
		}
		report = appendPkt(report, "ng "+p.Commands[i].Ref+" "+why+"\n")
	}
	report = append(report, "0000"...)
	if !p.bands {
		return report, true
	}
	for _, w := range words {
		body = appendPkt(body, "\x02"+w+"\n")
	}
	for len(report) > 0 {
		n := min(len(report), maxPkt-5)
		body = appendPkt(body, "\x01"+string(report[:n]))
		report = report[n:]
	}
	return append(body, "0000"...), true
}

// printable is a name from inside as it may be shown.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return s
}
