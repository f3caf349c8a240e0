package llm

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/belljar-dev/belljar"
)

// An Account is something that has limits, and what was spent of it.
type Account struct {
	Name        string // for people: "this sandbox", a host
	Tokens      int64  // the limit; 0: none
	MaxRequests int64  // the limit; 0: none

	Spent    int64 // tokens
	Held     int64 // tokens of calls under way
	Requests int64 // that were sent
}

// left is what may be reserved.
func (a *Account) left() int64 { return a.Tokens - a.Spent - a.Held }

// part says whether at least percent of a limit is spent.
func (a *Account) part(percent int64) bool {
	return a.Tokens > 0 && a.Spent >= a.Tokens-a.Tokens*(100-percent)/100 || a.MaxRequests > 0 && a.Requests*100 >= a.MaxRequests*percent
}

// A Budget keeps the accounts of a sandbox: its own, and one for each rule that has
// limits. It is safe for concurrent use.
type Budget struct {
	tell func(string) // may be nil

	mu       sync.Mutex
	accounts []*Account // the first is the sandbox's
	rules    map[*belljar.LLMRule]*Account
	told     map[*Account]int64 // the part that was told of, in percent
	spent    belljar.LLMSpent   // by all calls together
	calls    int64
}

// tellAt are the parts of a limit that are told of, in percent, the largest first.
var tellAt = []int64{100, 80}

// mostReserved keeps sums of what requests say within 64 bits.
const mostReserved = 1 << 50

// steerAt is the part from which models are told.
const steerAt = 90

// NewBudget makes the accounts. tell is told, once for each, when most of a limit is
// spent, in a line for people; it may be nil and must not wait.
func NewBudget(tokens int64, rules []belljar.LLMRule, tell func(line string)) *Budget {
	b := &Budget{tell: tell, rules: make(map[*belljar.LLMRule]*Account), told: make(map[*Account]int64)}
	b.accounts = []*Account{{Name: "this sandbox", Tokens: tokens}}
	for i := range rules {
		r := &rules[i]
		if r.Tokens > 0 || r.Requests > 0 {
			a := &Account{Name: r.Host, Tokens: r.Tokens, MaxRequests: r.Requests}
			b.rules[r] = a
			b.accounts = append(b.accounts, a)
		}
	}
	return b
}

// of are the accounts that a call by rules is charged to; mu is held.
func (b *Budget) of(rules []*belljar.LLMRule) []*Account {
	l := []*Account{b.accounts[0]}
	for _, r := range rules {
		if a := b.rules[r]; a != nil {
			l = append(l, a)
		}
	}
	return l
}

// A SpentError says which limit keeps a call from being made.
type SpentError struct {
	Account
	Need int64 // tokens
	// Wait says that calls under way hold what is left: it may fit once they are over.
	Wait bool
}

// Error says it in one sentence.
func (e *SpentError) Error() string {
	switch {
	case e.MaxRequests > 0 && e.Requests >= e.MaxRequests:
		return fmt.Sprintf("the requests to models for %s are spent: %s of %s", e.Name, thousands(e.Requests), thousands(e.MaxRequests))
	case e.Wait:
		return fmt.Sprintf("calls under way hold what is left of the tokens for %s", e.Name)
	case e.Spent >= e.Tokens:
		return fmt.Sprintf("the tokens for %s are spent: %s of %s", e.Name, thousands(e.Spent), thousands(e.Tokens))
	}
	return fmt.Sprintf("the tokens for %s do not suffice: %s of %s are spent, and this call may come to %s", e.Name, thousands(e.Spent), thousands(e.Tokens), thousands(e.Need))
}

// thousands writes a number for people.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// A Hold is what a call under way has reserved.
type Hold struct {
	b        *Budget
	accounts []*Account
	tokens   int64
	once     sync.Once
}

// Reserve takes what a call may come to at most out of every account of rules, or out of
// none. A negative number is taken for the largest. Steer says that little is left and that a rule wants the model to be told.
func (b *Budget) Reserve(rules []*belljar.LLMRule, tokens int64) (h *Hold, steer string, spent *SpentError) {
	if tokens < 0 { // a sum that went wrong gives nobody room
		tokens = mostReserved
	}
	tokens = min(tokens, mostReserved)
	b.mu.Lock()
	defer b.mu.Unlock()
	accounts := b.of(rules)
	for _, a := range accounts {
		e := &SpentError{Account: *a, Need: tokens}
		switch {
		case a.MaxRequests > 0 && a.Requests >= a.MaxRequests:
			return nil, "", e
		case a.Tokens > 0 && tokens > a.left():
			e.Wait = tokens <= a.Tokens-a.Spent
			return nil, "", e
		}
	}
	for _, a := range accounts {
		a.Held += tokens
		a.Requests++
	}
	return &Hold{b: b, accounts: accounts, tokens: tokens}, b.steer(rules, accounts), nil
}

// steer is what the model is told; mu is held.
func (b *Budget) steer(rules []*belljar.LLMRule, accounts []*Account) string {
	wanted := false
	for _, r := range rules {
		wanted = wanted || r.Steer
	}
	for _, a := range accounts {
		if wanted && a.part(steerAt) {
			return fmt.Sprintf("Note from the sandbox: the budget for this model is almost spent (%s). Finish the most important step now, leave the work in a consistent state and say what remains to be done.", a.figures())
		}
	}
	return ""
}

// figures are what was spent of what.
func (a *Account) figures() string {
	var l []string
	if a.Tokens > 0 {
		l = append(l, thousands(a.Spent)+" of "+thousands(a.Tokens)+" tokens")
	} else if a.Spent > 0 {
		l = append(l, thousands(a.Spent)+" tokens")
	}
	if a.MaxRequests > 0 {
		l = append(l, thousands(a.Requests)+" of "+thousands(a.MaxRequests)+" requests")
	}
	return strings.Join(l, ", ")
}

// Settle gives back what was reserved and charges what the call came to. Only the first
// call counts. Nothing of it gives back more: a negative number counts as none.
func (h *Hold) Settle(s belljar.LLMSpent) {
	s.Input, s.Output, s.CacheRead, s.CacheWrite = max(0, s.Input), max(0, s.Output), max(0, s.CacheRead), max(0, s.CacheWrite)
	h.once.Do(func() { h.b.settle(h, s, true) })
}

// Cancel says that nothing of the call was sent: it does not count.
func (h *Hold) Cancel() {
	h.once.Do(func() { h.b.settle(h, belljar.LLMSpent{}, false) })
}

func (b *Budget) settle(h *Hold, s belljar.LLMSpent, sent bool) {
	var lines []string
	b.mu.Lock()
	for _, a := range h.accounts {
		a.Held -= h.tokens
		a.Spent += s.Total()
		if !sent {
			a.Requests--
		}
		for _, percent := range tellAt {
			if a.part(percent) && b.told[a] < percent {
				b.told[a] = percent
				lines = append(lines, fmt.Sprintf("belljar: models: %d %% of the budget for %s is spent: %s", percent, a.Name, a.figures()))
				break
			}
		}
	}
	if sent {
		b.calls++
		b.spent.Input += s.Input
		b.spent.Output += s.Output
		b.spent.CacheRead += s.CacheRead
		b.spent.CacheWrite += s.CacheWrite
		b.spent.Estimated = b.spent.Estimated || s.Estimated
	}
	b.mu.Unlock()
	for _, l := range lines {
		if b.tell != nil {
			b.tell(l)
		}
	}
}

// Spent is what all calls came to, and how many there were.
func (b *Budget) Spent() (spent belljar.LLMSpent, calls int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent, b.calls
}

// Lines say what was spent of what, for the page of the gateway; none where no model is
// known.
func (b *Budget) Lines() (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.accounts {
		if f := a.figures(); f != "" {
			lines = append(lines, a.Name+": "+f)
		}
	}
	return lines
}
