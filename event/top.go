package event

import (
	"encoding/json"

	"github.com/belljar-dev/belljar"
)

// maxTop bounds one list of [Summary.Top] in bytes as JSON: characters that are escaped there
// take up to six.
const maxTop = 256 << 10

// Top is s with at most n names of each sort, none longer than most bytes, and no sort of
// more than 256 KiB as JSON: what was inside cannot make it large.
func (s *Summary) Top(n, most int) Summary {
	c := *s
	for _, list := range []*[]Count{
		&c.Programs, &c.Stopped, &c.Reached, &c.Failed, &c.Refused, &c.Used, &c.Leaks, &c.Models,
		&c.Passed, &c.Held, &c.Denied, &c.Limits, &c.Terminal, &c.Sampled,
	} {
		*list = topOf(*list, n, most)
	}
	if c.Start != nil {
		start := *c.Start
		start.Argv = nil // the evidence has them once
		c.Start = &start
	}
	if c.End != nil {
		end := *c.End
		end.Argv = nil
		c.End = &end
	}
	return c
}

func topOf(list []Count, n, most int) []Count {
	out := make([]Count, 0, min(n, len(list)))
	var rest int64
	left := maxTop
	for i, x := range list {
		count := x.Count
		x.Name, x.Note, x.Fix = cutString(x.Name, most), cutString(x.Note, most), cutString(x.Fix, most)
		if i < n && left > 0 {
			left -= jsonSize(x)
		}
		if i >= n || left <= 0 {
			rest += count
			continue
		}
		out = append(out, x)
	}
	if rest > 0 {
		out = append(out, Count{Name: "others", Count: rest})
	}
	return out
}

func jsonSize(v any) int {
	b, _ := json.Marshal(v) // texts and numbers
	return len(b)
}

// Cut is e with no string longer than most bytes.
func Cut(e belljar.AskEvent, most int) belljar.AskEvent {
	for _, s := range []*string{&e.Host, &e.Method, &e.Path, &e.Note, &e.Command, &e.Answer, &e.Scope, &e.By} {
		*s = cutString(*s, most)
	}
	return e
}
