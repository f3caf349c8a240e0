package policy

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
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
			if err := checkEndpoint(s); err != nil {
				d.add(d.at(p.value), keyOTLP+".endpoint", "write the base URL of the receiver, such as https://otel.acme.dev:4318", "%s", err)
			}
			o.Endpoint = strings.TrimSuffix(s, "/")
		},
		"headers": func(p pair) {
			s, ok := d.text(p.value, keyOTLP+".headers")
			if !ok {
				return
			}
			if rest, ok := strings.CutPrefix(s, "~/"); ok && d.paths.home != "" {
				s = filepath.Join(d.paths.home, rest)
			}
			if !filepath.IsAbs(s) {
				d.add(d.at(p.value), keyOTLP+".headers", "write an absolute path, or one below ~/", "%q is no path of a file with headers", s)
			}
			o.Headers = filepath.Clean(s)
		},
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

// checkEndpoint: records are told to nobody on the way.
func checkEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q is no URL of a receiver", s)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("a receiver's URL has a host, a port and a path only; what it has to be told stands in the file headers")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return fmt.Errorf("records go over https, or to this host")
	}
	return nil
}

func (o OTLP) text() string {
	if o.Headers == "" {
		return "{endpoint: " + quote(o.Endpoint) + "}"
	}
	return "{endpoint: " + quote(o.Endpoint) + ", headers: " + quote(o.Headers) + "}"
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
	x, y := word(a.otlp), word(b.otlp)
	if y.value == "" && x.value != "" {
		return []Change{{Key: keyOTLP, What: x.value, Origin: x.origin()}}
	}
	return diffWords(keyOTLP, x, y, false)
}
