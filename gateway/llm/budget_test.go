package llm

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/belljar-dev/belljar"
)

func rulesOf(l ...belljar.LLMRule) (all []belljar.LLMRule, refs []*belljar.LLMRule) {
	for i := range l {
		refs = append(refs, &l[i])
	}
	return l, refs
}

// A budget is never overshot, however many calls there are at once.
func TestBudgetIsNotOvershot(t *testing.T) {
	rules, refs := rulesOf(belljar.LLMRule{BoundHost: belljar.BoundHost{Host: "a.test", Port: 443}, Tokens: 10_000})
	var mu sync.Mutex
	var lines []string
	b := NewBudget(12_000, rules, func(l string) { mu.Lock(); defer mu.Unlock(); lines = append(lines, l) })
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				h, _, spent := b.Reserve(refs, 170)
				if spent != nil {
					continue
				}
				h.Settle(belljar.LLMSpent{Input: 100, Output: 70})
				h.Settle(belljar.LLMSpent{Input: 100, Output: 70}) // counts once
				h.Cancel()
			}
		})
	}
	wg.Wait()
	s, calls := b.Spent()
	if s.Total() > 10_000 || s.Total() < 10_000-170 || calls != s.Total()/170 {
		t.Errorf("%+v in %d calls", s, calls)
	}
	_, _, spent := b.Reserve(refs, 170)
	if spent == nil || spent.Wait || !strings.Contains(spent.Error(), "do not suffice: 9,860 of 10,000 are spent") {
		t.Errorf("%v", spent)
	}
	if got := strings.Join(lines, "\n"); strings.Count(got, " 80 % of the budget for a.test") != 1 || len(lines) != 2 { // 82 % of the sandbox's, too
		t.Errorf("%q", lines)
	}
}

func TestCallsUnderWayHoldTheRest(t *testing.T) {
	rules, refs := rulesOf(belljar.LLMRule{BoundHost: belljar.BoundHost{Host: "a.test"}, Requests: 2, Steer: true})
	b := NewBudget(1000, rules, nil)
	h, _, spent := b.Reserve(refs, 900)
	if spent != nil {
		t.Fatal(spent)
	}
	if _, _, spent := b.Reserve(refs, 200); spent == nil || !spent.Wait {
		t.Errorf("%v", spent)
	}
	h.Cancel()
	h, steer, spent := b.Reserve(refs, 1000)
	if spent != nil || steer != "" {
		t.Fatal(spent, steer)
	}
	h.Settle(belljar.LLMSpent{Output: 930}) // the server took more than was asked for: the next pays
	h, steer, spent = b.Reserve(refs, 70)
	if spent != nil || !strings.Contains(steer, "930 of 1,000 tokens") {
		t.Fatal(spent, steer)
	}
	h.Settle(belljar.LLMSpent{Output: 5000})
	if _, _, spent = b.Reserve(refs, 1); spent == nil || spent.Wait || spent.Spent != 5930 {
		t.Errorf("%v", spent)
	}
	if l := strings.Join(b.Lines(), "; "); l != "this sandbox: 5,930 of 1,000 tokens; a.test: 5,930 tokens, 2 of 2 requests" {
		t.Error(l)
	}
}

// What a request claims cannot be so large that sums wrap around.
func TestHugeClaims(t *testing.T) {
	f, no := Judge([]byte(`{"model":"m","max_tokens":9223372036854775807,"n":1000}`), options(belljar.LLMOpenAI, "chat"))
	if no != nil {
		t.Fatal(no.Why)
	}
	in, out := f.Estimate(MaxBody)
	if out < 1<<60 || in+out < out {
		t.Errorf("%d, %d", in, out)
	}
	rules, refs := rulesOf(belljar.LLMRule{Requests: 100_000})
	b := NewBudget(0, rules, nil)
	for range 4000 {
		if _, _, spent := b.Reserve(refs, in+out); spent != nil {
			t.Fatal(spent)
		}
	}
	if b.accounts[0].Held < 0 {
		t.Error(b.accounts[0].Held)
	}
	b = NewBudget(1000, rules, nil)
	if _, _, spent := b.Reserve(refs, in+out); spent == nil || spent.Wait {
		t.Error(spent)
	}
}

func TestAnswersAreInTheForm(t *testing.T) {
	for _, api := range belljar.LLMAPIs() {
		for f := Malformed; f <= NotOffered; f++ {
			status, body := Answer(api, f, "why \"\n")
			var v struct {
				Error struct{ Message string }
			}
			if err := json.Unmarshal([]byte(body), &v); err != nil || v.Error.Message != "why \"\n" || status < 400 || status >= 500 {
				t.Errorf("%s: %d %s", api, status, body)
			}
			if f == Exhausted && (status == 429 || status == 408 || status == 409) {
				t.Errorf("%s: %d is tried again", api, status)
			}
		}
	}
}

// Nothing makes room by a number below zero.
func TestNegativeNumbers(t *testing.T) {
	if in, _ := (&Facts{Choices: 1, images: 5000}).Estimate(100); in < 1 {
		t.Error(in)
	}
	rules, refs := rulesOf(belljar.LLMRule{Tokens: 1000})
	b := NewBudget(0, rules, nil)
	if _, _, spent := b.Reserve(refs, -5000); spent == nil {
		t.Error("a negative number was reserved")
	}
	h, _, spent := b.Reserve(refs, 10)
	if spent != nil {
		t.Fatal(spent)
	}
	h.Settle(belljar.LLMSpent{Input: -1 << 40, Output: 5, CacheRead: -1, CacheWrite: -1})
	if s, _ := b.Spent(); s.Total() != 5 || b.accounts[1].Spent != 5 || b.accounts[1].Held != 0 {
		t.Errorf("%+v %+v", s, b.accounts[1])
	}
	b = NewBudget(0, nil, nil) // without a limit a negative number holds nothing either
	if _, _, spent := b.Reserve(nil, -5000); spent != nil || b.accounts[0].Held < 0 {
		t.Errorf("%v %d", spent, b.accounts[0].Held)
	}
}
