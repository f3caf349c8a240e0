package gateway

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
)

// sent is a request in the background, with a header X-Env where env is not empty.
func (d *deskWorld) sent(ctx context.Context, url, env string) chan answered {
	header := http.Header{}
	if env != "" {
		header.Set("X-Env", env)
	}
	return d.requested(ctx, http.MethodPost, url, header, true)
}

// asking are rules that ask about the same method and path, under other conditions, all on
// one line of a policy.
func asking(conditions ...belljar.Constraint) (n belljar.Network) {
	for _, c := range conditions {
		r := asks(confined("api.example.com", 443, "POST", "/v1"))
		r.Constraint = c
		n.Rules = append(n.Rules, r)
	}
	return n
}

func onlyQuery(name string) belljar.Constraint {
	return belljar.Constraint{Query: &belljar.QueryRule{Params: []belljar.Field{field(name, "*")}}}
}

// TestAnswerIsForOneRule: an answer for the sandbox allows what the rule that asked is
// about, whichever rule is first, and what another rule asks about is still asked.
func TestAnswerIsForOneRule(t *testing.T) {
	const url = "https://api.example.com/v1"
	prod := belljar.Constraint{Headers: []belljar.Field{field("X-Env", "prod")}}
	test := belljar.Constraint{Headers: []belljar.Field{field("X-Env", "", "test")}}
	for name, c := range map[string]struct {
		rules      belljar.Network
		url, env   string // asked about and allowed
		other, evn string // of another rule
	}{
		"query, the second": {asking(onlyQuery("delete"), onlyQuery("read")), url + "?read=1", "", url + "?delete=all", ""},
		"query, the first":  {asking(onlyQuery("read"), onlyQuery("delete")), url + "?read=1", "", url + "?delete=all", ""},
		"header":            {asking(prod, test), url, "", url, "prod"},
		"header, the first": {asking(test, prod), url, "test", url, "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeskWorld(t, c.rules)
			w.site("api.example.com", apiAddr, true, echo)
			got := w.sent(w.ctx, c.url, c.env)
			w.answerFor(w.next().ID)
			if a := <-got; a.status != 200 {
				t.Fatalf("%+v", a)
			}
			if a := <-w.sent(w.ctx, c.url, c.env); a.status != 200 {
				t.Errorf("what was allowed: %+v", a)
			}
			got = w.sent(w.ctx, c.other, c.evn)
			select {
			case a := <-got:
				t.Fatalf("never asked about: %+v", a)
			case n := <-w.asked:
				w.answer(n.ID, approval.Answer{})
			case <-time.After(hangs):
				t.Fatal("neither asked nor answered")
			}
			if a := <-got; a.status != 403 {
				t.Errorf("denied: %+v", a)
			}
		})
	}
}

// TestOnceIsForOneRule: a question whose client has gone is no question of what comes next
// under another rule, with the same method, path and query.
func TestOnceIsForOneRule(t *testing.T) {
	w := newDeskWorld(t, asking(belljar.Constraint{Headers: []belljar.Field{field("X-Env", "", "test")}}, belljar.Constraint{Headers: []belljar.Field{field("X-Env", "prod")}}))
	w.site("api.example.com", apiAddr, true, echo)
	ctx, cancel := context.WithCancel(w.ctx)
	gone := w.sent(ctx, "https://api.example.com/v1", "test")
	first := w.next()
	cancel()
	<-gone
	got := w.sent(w.ctx, "https://api.example.com/v1", "prod")
	second := w.next() // it is asked
	w.answer(first.ID, approval.Answer{Allow: true})
	select {
	case a := <-got:
		t.Fatalf("it went with another rule's answer: %+v", a)
	default:
	}
	w.answer(second.ID, approval.Answer{Allow: true})
	if a := <-got; a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// TestGrantHasTheAskersConditions: a grant is private, has a rate and a bound of the answer
// exactly where the rule that asked has.
func TestGrantHasTheAskersConditions(t *testing.T) {
	n := asking(onlyQuery("x"), belljar.Constraint{Response: 10, Rate: &belljar.Rate{Requests: 2, Per: 24 * time.Hour}})
	n.Rules[0].Private = true
	for i, query := range []string{"?x=1", "?y=1"} {
		w := newDeskWorld(t, n)
		w.site("api.example.com", apiAddr, true, echo)
		got := w.sent(w.ctx, "https://api.example.com/v1"+query, "")
		q := w.next()
		r, err := w.g.RuleFor(q.Subject, q.Asker)
		if err != nil || r.Private != n.Rules[i].Private || r.Response != n.Rules[i].Response || r.Rate != n.Rules[i].Rate || (r.Query == nil) != (i == 1) {
			t.Errorf("%s: %+v %v", query, r, err)
		}
		w.answer(q.ID, approval.Answer{})
		<-got
	}
}

// TestOnlyOnce: where no rule is as narrow as the question it is answered for once only; and
// a question is covered by what allows no more than the rule that asks.
func TestOnlyOnce(t *testing.T) {
	confinedRule := asks(confined("api.example.com", 443, "POST", "/v1"))
	push := asks(belljar.NetRule{Host: "api.example.com", Ports: []uint16{443}, Git: &belljar.GitRule{Repo: "/**"}})
	w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{confinedRule}})
	request := approval.Subject{Host: "api.example.com", Port: 443, Method: "POST", Path: "/v1"}
	for _, c := range []struct {
		s  approval.Subject
		by *belljar.NetRule
		ok bool
	}{{request, &confinedRule, true}, {approval.Subject{Host: "api.example.com", Port: 443}, &confinedRule, false}, {request, &push, false}} {
		if r, err := w.g.RuleFor(c.s, approval.AskedBy(c.by)); (err == nil) != c.ok {
			t.Errorf("%+v: %+v %v", c.s, r, err)
		}
	}
	private := confinedRule
	private.Private = true
	if err := w.g.Allow(confined("api.example.com", 443, "POST", "/v1")); err != nil {
		t.Fatal(err)
	}
	for by, want := range map[*belljar.NetRule]bool{&confinedRule: true, &private: false} {
		if got := w.g.Allows(request, approval.AskedBy(by)); got != want {
			t.Errorf("private %v: covered %v", by.Private, got)
		}
	}
	bounded := withConstraint(confined("api.example.com", 443, "POST", "/v2"), belljar.Constraint{Response: 10})
	if err := w.g.Allow(bounded); err != nil {
		t.Fatal(err)
	}
	request.Path = "/v2"
	if w.g.Allows(request, approval.AskedBy(&confinedRule)) {
		t.Error("covered by a rule that bounds the answer, and not bounded")
	}
}

// withConstraint is r under conditions.
func withConstraint(r belljar.NetRule, c belljar.Constraint) belljar.NetRule {
	r.Constraint = c
	return r
}
