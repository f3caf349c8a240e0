package policy

import (
	"strings"
	"testing"
)

func TestNotify(t *testing.T) {
	for text, want := range map[string]string{
		`{desktop: true}`:                                     `{desktop: true, on: [end, waits]}`,
		`{bell: true, on: [waits]}`:                           `{bell: true, on: [waits]}`,
		`{bell: true, on: [waits, end]}`:                      `{bell: true, on: [end, waits]}`,
		`{on: []}`:                                            `{on: []}`,
		`{webhook: {url: "http://127.0.0.1:1/x"}}`:            `{webhook: {url: "http://127.0.0.1:1/x"}, on: [end, waits]}`,
		`{webhook: {url: "https://h.test/x/y", headers: /h}}`: `{webhook: {url: "https://h.test/x/y", headers: "/h"}, on: [end, waits]}`,
		`{webhook: {url: "http://h.test/x"}}`:                 "!over https",
		`{webhook: {url: "https://u:p@h.test/x"}}`:            "!host, a port and a path only",
		`{webhook: {headers: /h}}`:                            "!needs url",
		`{webhook: "https://h.test"}`:                         "!notify.webhook",
		`{webhook: {url: "https://h.test", headers: here}}`:   "!absolute path",
		`{webhook: {url: "https://h.test", method: PUT}}`:     "!unknown key",
		`{desktop: yes please}`:                               "!notify.desktop",
		`{on: end}`:                                           "!a list of",
		`{on: [ends]}`:                                        "!no event",
		`{sound: true}`:                                       "!unknown key",
		`[desktop]`:                                           "!notify",
	} {
		d, faults := parse("version: 1\nnotify: "+text+"\n", layerUser)
		if bad, ok := strings.CutPrefix(want, "!"); ok {
			if !strings.Contains(faults.Error(), bad) {
				t.Errorf("%s: %v", text, faults)
			}
			continue
		}
		if len(faults) > 0 || d.notify.value.text() != want {
			t.Errorf("%s: %v %+v", text, faults, d.notify)
		}
	}
	// Whoever trusts a project's file is not told by it, nor tells others.
	if _, faults := parse("version: 1\nnotify: {bell: true}\n", layerProject); !strings.Contains(faults.Error(), "a project's file cannot say") {
		t.Error(faults)
	}
}

// TestNotifyCeiling: the organisation is told as well, and by its webhook only.
func TestNotifyCeiling(t *testing.T) {
	user, _ := parse("version: 1\nnotify: {bell: true, webhook: {url: \"https://mine.test\"}, on: [waits]}\n", layerUser)
	for ceiling, want := range map[string]string{
		`{webhook: {url: "https://org.test"}, on: [end]}`: `{bell: true, webhook: {url: "https://org.test"}, on: [end, waits]}`,
		`{desktop: true, on: [waits]}`:                    `{desktop: true, bell: true, webhook: {url: "https://mine.test"}, on: [waits]}`,
	} {
		c, faults := parse("version: 1\nnotify: "+ceiling+"\n", layerCeiling)
		p := merged(user, nil, nil, c, false)
		if len(faults) > 0 || p == nil || p.Notify().text() != want {
			t.Errorf("%s: %v %+v", ceiling, faults, p)
		}
	}
	p := merged(user, nil, nil, nil, false)
	if y, err := p.YAML(); err != nil || !strings.Contains(string(y), "notify: {bell: true, webhook: {url: \"https://mine.test\"}, on: [waits]}") {
		t.Errorf("%v %s", err, y)
	}
	none := build(newState(), &paths{}, nil)
	if none.Notify() != nil || len(Diff(none, p)) != 1 || len(Diff(p, none)) != 1 || none.Hash() == p.Hash() {
		t.Errorf("%+v %+v", Diff(none, p), Diff(p, none))
	}
}
