package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

// maxModels bounds the patterns of one entry.
const maxModels = 64

// llmEntry decodes an entry of llm.
func (d *decoder) llmEntry(n ast.Node, path string) (belljar.LLMRule, bool) {
	var l belljar.LLMRule
	before := len(d.faults) + d.more
	d.fields(n, path, map[string]func(pair){
		"host":     func(p pair) { l.BoundHost = d.boundHost(p.value, path+".host") },
		"api":      func(p pair) { l.API = belljar.LLMAPI(d.oneOf(p.value, path+".api", apiNames())) },
		"models":   func(p pair) { l.Models = d.models(p, path+".models") },
		"tokens":   func(p pair) { l.Tokens = d.amount(p.value, path+".tokens", parseTokens, "5M") },
		"requests": func(p pair) { l.Requests = d.amount(p.value, path+".requests", parseCount, "100") },
		"fetch":    func(p pair) { l.Fetch = d.oneOf(p.value, path+".fetch", []string{"deny", "allow"}) == "allow" },
		"steer":    func(p pair) { l.Steer = d.boolean(p.value, path+".steer") },
		"endpoint": func(p pair) { l.Endpoint = d.boolean(p.value, path+".endpoint") },
	})
	if len(d.faults)+d.more != before {
		return l, false
	}
	switch at := d.at(n); {
	case l.Host == "":
		d.add(at, path, "", "an entry needs host")
	case l.API == "":
		d.add(at, path, "write api: "+strings.Join(apiNames(), " | "), "an entry needs api")
	case l.Endpoint && strings.HasPrefix(l.Host, "*."):
		d.add(at, path+".endpoint", "name the host", "an endpoint stands for one host")
	}
	return l, len(d.faults)+d.more == before
}

func apiNames() (names []string) {
	for _, a := range belljar.LLMAPIs() {
		names = append(names, string(a))
	}
	return names
}

func (d *decoder) boundHost(n ast.Node, path string) belljar.BoundHost {
	s, ok := hostPort(n)
	if !ok {
		if s, ok = d.text(n, path); !ok {
			return belljar.BoundHost{}
		}
	}
	b, suggestion, err := parseBound(s)
	if err != nil {
		d.add(d.at(n), path, suggestion, "%s", err)
	}
	return b
}

func (d *decoder) oneOf(n ast.Node, path string, words []string) string {
	s, ok := d.text(n, path)
	if ok && !slices.Contains(words, s) {
		suggestion := "write " + strings.Join(words, " or ")
		if c := nearest(s, words); c != "" {
			suggestion = fmt.Sprintf("did you mean %q?", c)
		}
		d.add(d.at(n), path, suggestion, "%q is none of %s", s, strings.Join(words, ", "))
		return ""
	}
	return s
}

func (d *decoder) amount(n ast.Node, path string, parse func(string) (int64, error), example string) int64 {
	s, ok := d.number(n, path, "a number such as "+example)
	if !ok {
		return 0
	}
	v, err := parse(s)
	if err == nil && (v == 0 || v >= mostTokens) {
		err = errors.New("nothing could be asked of the models, or anything: leave it out to count only")
	}
	if err != nil {
		d.add(d.at(n), path, "", "%s", err)
	}
	return v
}

func (d *decoder) models(p pair, path string) []string {
	l := decodeList(d, p, path, "names of models", func(n ast.Node, key string) (string, bool) {
		return checked(d, n, key, func(s string) (string, error) {
			if s == "" || len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return "", fmt.Errorf("%q is no name of a model, nor a pattern such as claude-*", s)
			}
			return "", nil
		})
	})
	names := d.bounded(p, l, path, "models", maxModels)
	slices.Sort(names)
	return slices.Compact(names)
}

// llmText is an entry as it can be written again.
func llmText(l belljar.LLMRule) string {
	s := "{host: " + quote(boundText(l.BoundHost)) + ", api: " + string(l.API)
	if len(l.Models) > 0 {
		s += ", models: " + quotedList(l.Models)
	}
	if l.Tokens > 0 {
		s += ", tokens: " + formatTokens(l.Tokens)
	}
	if l.Requests > 0 {
		s += ", requests: " + formatCount(l.Requests)
	}
	if l.Fetch {
		s += ", fetch: allow"
	}
	if l.Steer {
		s += ", steer: true"
	}
	if l.Endpoint {
		s += ", endpoint: true"
	}
	return s + "}"
}

// mostTokens stands for any number of tokens.
const mostTokens = int64(1_000_000_000_000)

const unlimited = "unlimited"

// parseTokens reads a number of tokens, with k, M or G for thousands.
func parseTokens(s string) (int64, error) {
	if s == unlimited {
		return mostTokens, nil
	}
	unit, num := 1.0, s
	for name, n := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if rest, ok := strings.CutSuffix(s, name); ok {
			unit, num = n, rest
		}
	}
	f, err := parseDecimal(num)
	if err != nil || f*unit > float64(mostTokens) || f*unit != float64(int64(f*unit)) {
		return 0, errors.New("a number of tokens is whole, with k, M or G for thousands, such as 5M")
	}
	return int64(f * unit), nil
}

func formatTokens(n int64) string {
	if n >= mostTokens {
		return unlimited
	}
	for _, u := range []struct {
		name string
		n    int64
	}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if n >= u.n && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// llmKeyRule is llm. Entries only confine, and those for one host and API hold together:
// what another layer adds is tighter, but for another API of a host that has one. Only a
// preset's entry is replaced by the user's own for the same host and API.
type llmKeyRule struct{}

const keyLLM = "llm"

func (llmKeyRule) merge(s *state, d *document) {
	if d.llm.clears() {
		s.llm = nil
	}
	if d.src.layer != layerProject && asked(d.src) { // a user's own entry stands for the preset's
		s.llm = slices.DeleteFunc(s.llm, func(o item[belljar.LLMRule]) bool {
			return !asked(o.src) && slices.ContainsFunc(d.llm.items, func(i item[belljar.LLMRule]) bool {
				return i.value.BoundHost == o.value.BoundHost && i.value.API == o.value.API
			})
		})
	}
	add(&s.llm, d.llm.items, llmText)
}

// overlap says whether two entries speak of a common host.
func overlap(a, b belljar.LLMRule) bool {
	return hostWithin(a.Host, b.Host) || hostWithin(b.Host, a.Host)
}

// opensAPI says whether an entry allows an API at a host where others allow another one.
func opensAPI(l belljar.LLMRule, others []item[belljar.LLMRule]) bool {
	other := false
	for _, i := range others {
		switch {
		case i.value.API == l.API && hostWithin(l.Host, i.value.Host):
			return false
		case i.value.API != l.API && overlap(i.value, l):
			other = true
		}
	}
	return other
}

func (llmKeyRule) tighten(s, full *state, d *document, r *report) {
	if d.llm.clears() {
		if len(s.llm) > 0 && len(full.llm) > 0 {
			r.add(d.llm.mark, keyLLM, "", "takes away what confines requests to models, which the user's policy has")
		}
		return
	}
	for _, i := range d.llm.items {
		l := i.value
		has := func(o item[belljar.LLMRule]) bool {
			return o.value.Endpoint && o.value.API == l.API && o.value.BoundHost == l.BoundHost
		}
		switch {
		case opensAPI(l, s.llm) && opensAPI(l, full.llm):
			r.add(i.mark, keyLLM, "", "allows another API at %s, which the user's policy does not", boundText(l.BoundHost))
			continue
		case l.Endpoint && !slices.ContainsFunc(s.llm, has) && !slices.ContainsFunc(full.llm, has):
			r.add(i.mark, keyLLM, "", "gives %s an endpoint, which the user's policy does not", boundText(l.BoundHost))
			continue
		case opensAPI(l, s.llm):
			continue // a trusted layer below says so, not this one
		}
		add(&s.llm, []item[belljar.LLMRule]{i}, llmText)
	}
}

func (llmKeyRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	var kept []item[belljar.LLMRule]
	for _, i := range s.llm {
		if !opensAPI(i.value, c.llm.items) {
			kept = append(kept, i)
			continue
		}
		if asked(i.src) {
			r.add(i.mark, keyLLM, "", "allows another API at %s than the organisation's ceiling (%s)", boundText(i.value.BoundHost), c.llm.mark.place())
		} else {
			cut(keyLLM+": "+llmText(i.value), c.llm.mark)
		}
	}
	s.llm = kept
	add(&s.llm, c.llm.items, llmText)
}

// llmNetwork adds the entries to n.
func (s *state) llmNetwork(n *belljar.Network) {
	for _, i := range s.llm {
		l := i.value
		l.Models = slices.Clone(l.Models)
		l.Origin = i.origin()
		l.Origin.Text = llmText(i.value)
		n.LLM = append(n.LLM, l)
	}
}

func llmWords(l []item[belljar.LLMRule]) []item[string] {
	words := make([]item[string], len(l))
	for n, i := range l {
		words[n] = item[string]{llmText(i.value), i.mark}
	}
	return words
}

// diffLLM compares llm: an entry takes away, but where it allows another API.
func diffLLM(a, b *state) []Change {
	var l []Change
	for _, side := range []struct {
		these, others []item[belljar.LLMRule]
		added         bool
	}{{b.llm, a.llm, true}, {a.llm, b.llm, false}} {
		for _, i := range side.these {
			text := llmText(i.value)
			if !slices.ContainsFunc(side.others, func(o item[belljar.LLMRule]) bool { return llmText(o.value) == text }) {
				l = append(l, Change{Key: keyLLM, Possible: side.added == opensAPI(i.value, side.others), What: text, Origin: i.origin()})
			}
		}
	}
	return l
}
