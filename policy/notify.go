package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Notify says how the user is told that a run ended or that something waits.
type Notify struct {
	Desktop bool    `json:"desktop,omitempty"`
	Bell    bool    `json:"bell,omitempty"`
	Webhook Webhook `json:"webhook,omitzero"`
	On      string  `json:"on"` // the events, as they are written in On: end, waits
}

// A Webhook is where notifications are posted to.
type Webhook struct {
	URL     string `json:"url,omitempty"`
	Headers string `json:"headers,omitempty"` // a file with the headers of requests; empty: none
}

const (
	keyNotify   = "notify"
	notifyEnd   = "end"
	notifyWaits = "waits"
)

// notifyEvents are what may be told, in the order in which On has them.
var notifyEvents = []string{notifyEnd, notifyWaits}

// Tells says whether event is told.
func (n Notify) Tells(event string) bool { return slices.Contains(strings.Fields(n.On), event) }

func (d *decoder) notify(p pair) {
	n := Notify{On: strings.Join(notifyEvents, " ")}
	before := len(d.faults) + d.more
	if d.src.layer == layerProject {
		d.add(d.at(p.value), keyNotify, "write it into your own policy, or into the organisation's", "a project's file cannot say how you are told, nor whom else")
		return
	}
	d.fields(p.value, keyNotify, map[string]func(pair){
		"desktop": func(p pair) { n.Desktop = d.boolean(p.value, keyNotify+".desktop") },
		"bell":    func(p pair) { n.Bell = d.boolean(p.value, keyNotify+".bell") },
		"webhook": func(p pair) { n.Webhook = d.webhook(p) },
		"on":      func(p pair) { n.On = d.notifyOn(p) },
	})
	if len(d.faults)+d.more == before {
		d.doc.notify = &item[Notify]{n, d.at(p.value)}
	}
}

func (d *decoder) webhook(p pair) (w Webhook) {
	const key = keyNotify + ".webhook"
	d.fields(p.value, key, map[string]func(pair){
		"url": func(p pair) {
			s, ok := d.text(p.value, key+".url")
			if !ok {
				return
			}
			if err := checkEndpoint("notifications", s); err != nil {
				d.add(d.at(p.value), key+".url", "write a URL such as https://hooks.acme.dev/belljar", "%s", err)
			}
			w.URL = s
		},
		"headers": func(p pair) { w.Headers = d.headersFile(p, key+".headers") },
	})
	if w.URL == "" {
		d.add(d.at(p.value), key, "", "webhook needs url")
	}
	return w
}

func (d *decoder) notifyOn(p pair) string {
	const key = keyNotify + ".on"
	l := decodeList(d, p, key, strings.Join(notifyEvents, ", "), d.text)
	var on []string
	for _, e := range notifyEvents {
		if slices.ContainsFunc(l.items, func(i item[string]) bool { return i.value == e }) {
			on = append(on, e)
		}
	}
	for _, i := range l.items {
		if !slices.Contains(notifyEvents, i.value) {
			d.add(i.mark, key, "there is: "+strings.Join(notifyEvents, ", "), "no event %q", i.value)
		}
	}
	return strings.Join(on, " ")
}

// headersFile is the absolute path of a file with headers.
func (d *decoder) headersFile(p pair, key string) string {
	s, ok := d.text(p.value, key)
	if !ok {
		return ""
	}
	if rest, ok := strings.CutPrefix(s, "~/"); ok && d.paths.home != "" {
		s = filepath.Join(d.paths.home, rest)
	}
	if !filepath.IsAbs(s) {
		d.add(d.at(p.value), key, "write an absolute path, or one below ~/", "%q is no path of a file with headers", s)
	}
	return filepath.Clean(s)
}

func (n Notify) text() string {
	var parts []string
	if n.Desktop {
		parts = append(parts, "desktop: true")
	}
	if n.Bell {
		parts = append(parts, "bell: true")
	}
	if w := n.Webhook; w.URL != "" {
		parts = append(parts, "webhook: "+OTLP{w.URL, w.Headers}.mapping("url"))
	}
	parts = append(parts, fmt.Sprintf("on: [%s]", strings.ReplaceAll(n.On, " ", ", ")))
	return "{" + strings.Join(parts, ", ") + "}"
}

// notifyRule is notify.
type notifyRule struct{}

func (notifyRule) merge(s *state, d *document) {
	if d.notify != nil {
		s.notify = d.notify
	}
}

// tighten: the decoder refuses the key in a project's file.
func (notifyRule) tighten(*state, *state, *document, *report) {}

// limit: what the organisation wants told is told, beside what the user wants; its webhook
// is the only one.
func (notifyRule) limit(s *state, c *document, _ *report, cut func(string, mark)) {
	if c.notify == nil {
		return
	}
	n, own := c.notify.value, s.notify
	if own != nil {
		if own.value.Webhook != n.Webhook && own.value.Webhook.URL != "" && n.Webhook.URL != "" {
			cut(keyNotify+".webhook: "+own.value.Webhook.URL, c.notify.mark)
		}
		if n.Webhook.URL == "" {
			n.Webhook = own.value.Webhook
		}
		n.Desktop, n.Bell = n.Desktop || own.value.Desktop, n.Bell || own.value.Bell
		var on []string
		for _, e := range notifyEvents {
			if n.Tells(e) || own.value.Tells(e) {
				on = append(on, e)
			}
		}
		n.On = strings.Join(on, " ")
	}
	s.notify = &item[Notify]{n, c.notify.mark}
}

// Notify is how the user is told; nil: not at all.
func (p *Policy) Notify() *Notify {
	if p.state.notify == nil {
		return nil
	}
	n := p.state.notify.value
	return &n
}

// diffNotify: whoever is told learns what they did not.
func diffNotify(a, b *state) []Change {
	word := func(i *item[Notify]) item[string] {
		if i == nil {
			return item[string]{}
		}
		return item[string]{i.value.text(), i.mark}
	}
	return diffPresence(keyNotify, word(a.notify), word(b.notify))
}
