package policy

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// An OTLP is the receiver that records are sent to.
type OTLP struct {
	Endpoint string `json:"endpoint"` // the base: /v1/logs and /v1/traces are below it
	// Headers is a file with the headers of every request, one a line; empty: none. Their
	// values are secrets, and in no policy.
	Headers string `json:"headers,omitempty"`
}

const keyOTLP = "otlp"

func (d *decoder) otlp(p pair) {
	var o OTLP
	before := len(d.faults) + d.more
	if d.src.layer == layerProject {
		d.add(d.at(p.value), keyOTLP, "write it into your own policy, or into the organisation's", "a project's file cannot say where records go")
		return
	}
	d.fields(p.value, keyOTLP, map[string]func(pair){
		"endpoint": func(p pair) {
			s, ok := d.text(p.value, keyOTLP+".endpoint")
			if !ok {
				return
			}
			if err := checkEndpoint("records", s); err != nil {
				d.add(d.at(p.value), keyOTLP+".endpoint", "write the base URL of the receiver, such as https://otel.acme.dev:4318", "%s", err)
			}
			o.Endpoint = strings.TrimSuffix(s, "/")
		},
		"headers": func(p pair) { o.Headers = d.headersFile(p, keyOTLP+".headers") },
	})
	if len(d.faults)+d.more != before {
		return
	}
	if o.Endpoint == "" {
		d.add(d.at(p.value), keyOTLP, "", "otlp needs endpoint")
		return
	}
	d.doc.otlp = &item[OTLP]{o, d.at(p.value)}
}

// checkEndpoint: what goes there is told to nobody on the way.
func checkEndpoint(what, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q is no URL of a receiver", s)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("a receiver's URL has a host, a port and a path only; what it has to be told stands in the file headers")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return fmt.Errorf("%s go over https, or to this host", what)
	}
	return nil
}

func (o OTLP) text() string { return o.mapping("endpoint") }

// mapping is o in the form of the policy file; key is what the URL is called.
func (o OTLP) mapping(key string) string {
	if o.Headers == "" {
		return "{" + key + ": " + quote(o.Endpoint) + "}"
	}
	return "{" + key + ": " + quote(o.Endpoint) + ", headers: " + quote(o.Headers) + "}"
}

// otlpRule is otlp.
type otlpRule struct{}

func (otlpRule) merge(s *state, d *document) {
	if d.otlp != nil {
		s.otlp = d.otlp
	}
}

// tighten: the decoder refuses the key in a project's file.
func (otlpRule) tighten(*state, *state, *document, *report) {}

func (otlpRule) limit(s *state, c *document, _ *report, cut func(string, mark)) {
	if c.otlp == nil {
		return
	}
	if s.otlp != nil && s.otlp.value != c.otlp.value {
		cut(keyOTLP+": "+s.otlp.value.text(), c.otlp.mark)
	}
	s.otlp = c.otlp
}

// OTLP is the receiver that records are sent to; nil: none.
func (p *Policy) OTLP() *OTLP {
	if p.state.otlp == nil {
		return nil
	}
	o := p.state.otlp.value
	return &o
}

// diffOTLP: a receiver learns what it did not.
func diffOTLP(a, b *state) []Change {
	word := func(i *item[OTLP]) item[string] {
		if i == nil {
			return item[string]{}
		}
		return item[string]{i.value.text(), i.mark}
	}
	return diffPresence(keyOTLP, word(a.otlp), word(b.otlp))
}

// diffPresence compares what is one value or nothing, and allows more where it is there.
func diffPresence(key string, x, y item[string]) []Change {
	if y.value == "" && x.value != "" {
		return []Change{{Key: key, What: x.value, Origin: x.origin()}}
	}
	return diffWords(key, x, y, false)
}
