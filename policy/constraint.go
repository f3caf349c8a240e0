package policy

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

// Bounds of one rule.
const (
	maxFields   = 64
	maxValues   = 32
	leastAnswer = 1
	mostAnswer  = 1 << 50
)

// constraintKeys are the fields of a rule that confine requests further.
func (d *decoder) constraintKeys(c *belljar.Constraint, path string) map[string]func(pair) {
	return map[string]func(pair){
		"query": func(p pair) {
			c.Query = &belljar.QueryRule{Params: d.requestFields(p, path+".query", parseParam)}
		},
		"headers": func(p pair) {
			c.Headers = d.requestFields(p, path+".headers", parseHeader)
			if len(c.Headers) == 0 {
				d.add(p.key, path+".headers", "leave it out to allow any", "no headers: it would say nothing")
			}
		},
		"rate": func(p pair) {
			s, ok := d.text(p.value, path+".rate")
			if !ok {
				return
			}
			r, err := belljar.ParseRate(s)
			if err != nil {
				d.add(d.at(p.value), path+".rate", "", "%s", err)
			}
			c.Rate = &r
		},
		"response": func(p pair) { c.Response = d.answerSize(p, path+".response") },
	}
}

func (d *decoder) answerSize(p pair, path string) int64 {
	s, ok := d.text(p.value, path)
	if !ok {
		return 0
	}
	n, err := parseSize(s)
	if err == nil && (n < leastAnswer || n > mostAnswer) {
		err = fmt.Errorf("%q: an answer has at least one byte, and at most %s", s, formatSize(mostAnswer))
	}
	if err != nil {
		d.add(d.at(p.value), path, "write a size such as 512KiB, 10MiB", "%s", err)
	}
	return n
}

// requestFields decodes a mapping of names to a pattern or a list of patterns.
func (d *decoder) requestFields(p pair, path string, parse func(name string) (canonical, suggestion string, err error)) []belljar.Field {
	var fields []belljar.Field
	for _, v := range d.pairs(p.value, path) {
		at := join(path, v.name)
		name, suggestion, err := parse(v.name)
		if err != nil {
			d.add(v.key, at, suggestion, "%s", err)
			continue
		}
		if slices.ContainsFunc(fields, func(f belljar.Field) bool { return f.Name == name }) {
			d.add(v.key, at, "", "%s is there twice", name)
			continue
		}
		fields = append(fields, belljar.Field{Name: name, Values: d.fieldValues(v, at)})
	}
	if len(fields) > maxFields {
		d.add(p.key, path, "", "more than %d names in one rule", maxFields)
		return nil
	}
	slices.SortFunc(fields, func(a, b belljar.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// fieldValues decodes the patterns of one value, sorted: a word or a list of words.
func (d *decoder) fieldValues(p pair, path string) []string {
	var values []string
	if _, list := p.value.(*ast.SequenceNode); list {
		l := decodeList(d, p, path, "patterns", func(n ast.Node, key string) (string, bool) { return checked(d, n, key, parseValue) })
		values = d.bounded(p, l, path, "patterns", maxValues)
	} else if s, ok := checked(d, p.value, path, parseValue); ok {
		values = []string{s}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// parseValue reads a pattern of values.
func parseValue(s string) (suggestion string, err error) {
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }
	switch {
	case len(s) > maxPattern:
		return "", fmt.Errorf("a pattern has at most %d bytes", maxPattern)
	case strings.ContainsFunc(s, control) || !utf8.ValidString(s):
		return "", errors.New("a control character in a pattern, which no value has")
	case strings.Contains(s, "**"):
		return "write " + strings.Join(slices.DeleteFunc(strings.Split(s, "*"), func(p string) bool { return p == "" }), "*"),
			fmt.Errorf("%q: one star stands for any characters", s)
	}
	return "", nil
}

// parseParam reads the name of a parameter, as it is when it is decoded.
func parseParam(name string) (canonical, suggestion string, err error) {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case name == "" || len(name) > maxPattern || strings.ContainsFunc(name, control) || !utf8.ValidString(name):
		return "", "", fmt.Errorf("%q is not the name of a parameter", name)
	case strings.ContainsAny(name, "*"):
		return "", "", fmt.Errorf("%q: parameters are named one by one, without a star", name)
	case strings.ContainsAny(name, "&;=#?%"):
		return "", "write it decoded, and without its value", fmt.Errorf("%q is not the name of a parameter", name)
	}
	return name, "", nil
}

// parseHeader reads the name of a request header that a rule may judge.
func parseHeader(name string) (canonical, suggestion string, err error) {
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return !tokenRune(r) }) {
		return "", "", fmt.Errorf("%q is not the name of a header", name)
	}
	canonical = textproto.CanonicalMIMEHeaderKey(name)
	if why := unjudged(canonical); why != "" {
		return "", "", fmt.Errorf("no rule judges the header %s: %s", canonical, why)
	}
	return canonical, "", nil
}

// unjudged says why no rule can judge a header; empty: it can.
func unjudged(name string) string {
	plain := belljar.PlainHeader(name)
	way := slices.ContainsFunc([]string{"xhttpmethod", "xmethod", "xforwarded", "xoriginal", "xrewrite", "secwebsocket"},
		func(p string) bool { return strings.HasPrefix(plain, p) })
	switch plain {
	case "host", "connection", "keepalive", "proxyconnection", "te", "trailer", "transferencoding", "upgrade", "http2settings",
		"contentlength", "expect", "acceptencoding", "range", "ifrange", "aim", "forwarded", "via", "httpmethodoverride":
		way = true
	case "authorization", "proxyauthorization", "proxyauthenticate", "cookie", "xapikey", "xgoogapikey", "apikey", "privatetoken", "xauthtoken":
		return "it carries a credential: see credentials"
	}
	if way {
		return "it says how a request gets there, which the gateway decides"
	}
	return ""
}

// checkHeaders reports rules that judge a header into which a credential is put.
func (s *state) checkHeaders(r *report) {
	for _, i := range s.rules {
		for _, f := range i.value.Headers {
			for _, c := range s.credentials {
				if belljar.PlainHeader(c.value.Header) != belljar.PlainHeader(f.Name) || !s.meets(i.value, c.value) {
					continue
				}
				r.add(i.mark, "network.allow.headers", "leave it out: the gateway judges what is in that header",
					"judges the header %s, into which %s is put", f.Name, c.value.Name)
			}
		}
	}
}

// meets says whether a credential is bound to something that a rule is about.
func (s *state) meets(rule belljar.NetRule, c grant) bool {
	return slices.ContainsFunc(slices.Concat(c.Hosts, c.withheld), func(h belljar.BoundHost) bool {
		_, ok := intersectPlace(belljar.NetRule{Host: h.Host, Ports: []uint16{h.Port}}, rule)
		return ok
	})
}

// constraintFields are a constraint as further fields of a mapping.
func constraintFields(c *belljar.Constraint) string {
	s := ""
	if c.Query != nil {
		s += ", query: " + fieldsText(c.Query.Params)
	}
	if len(c.Headers) > 0 {
		s += ", headers: " + fieldsText(c.Headers)
	}
	if c.Rate != nil {
		s += ", rate: " + c.Rate.String()
	}
	if c.Response > 0 {
		s += ", response: " + formatSize(c.Response)
	}
	return s
}

func fieldsText(l []belljar.Field) string {
	words := make([]string, len(l))
	for i, f := range l {
		words[i] = quote(f.Name) + ": " + quotedList(f.Values)
		if len(f.Values) == 1 {
			words[i] = quote(f.Name) + ": " + quote(f.Values[0])
		}
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// checkConstraint says why a constraint that is not from a file could not be in one.
func checkConstraint(c *belljar.Constraint) error {
	check := func(l []belljar.Field, parse func(string) (string, string, error)) error {
		for _, f := range l {
			name, _, err := parse(f.Name)
			if err == nil && (name != f.Name || len(f.Values) == 0) {
				err = fmt.Errorf("%q is not written as it would be in a policy", f.Name)
			}
			for _, v := range f.Values {
				_, verr := parseValue(v)
				err = errors.Join(err, verr)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if c.Query != nil {
		if err := check(c.Query.Params, parseParam); err != nil {
			return err
		}
	}
	if err := check(c.Headers, parseHeader); err != nil {
		return err
	}
	if c.Rate != nil {
		if r, err := belljar.ParseRate(c.Rate.String()); err != nil || r != *c.Rate {
			return errors.New("a rate that no policy can have")
		}
	}
	if c.Response < 0 || c.Response > mostAnswer {
		return errors.New("a size that no answer has")
	}
	return nil
}

// cloneConstraint copies what a caller might change. The rate stays the same one: it is
// counted by where it is.
func cloneConstraint(c belljar.Constraint) belljar.Constraint {
	if c.Query != nil {
		c.Query = &belljar.QueryRule{Params: cloneFields(c.Query.Params)}
	}
	c.Headers = cloneFields(c.Headers)
	return c
}

func cloneFields(l []belljar.Field) []belljar.Field {
	l = slices.Clone(l)
	for i := range l {
		l[i].Values = slices.Clone(l[i].Values)
	}
	return l
}
