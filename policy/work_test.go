package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// nastyRules is a file of nearly the size that one may have, of rules whose patterns are
// slow to compare with those of somebody else. The key is what the patterns are for.
func nastyRules(key string, ports, methods int, value func(i int) string) string {
	var b strings.Builder
	b.WriteString("version: 1\nnetwork:\n  allow:\n")
	for r := 0; b.Len() < maxSize-64<<10; r++ {
		b.WriteString("  - host: api.acme.dev\n    ports: [")
		for p := range ports {
			fmt.Fprintf(&b, "%d, ", p+1)
		}
		b.WriteString("]\n    methods: [")
		for m := range methods {
			fmt.Fprintf(&b, "ZZQQ%dXKW%d, ", r, m)
		}
		values := make([]string, maxValues)
		for i := range values {
			values[i] = fmt.Sprintf("%q", value(i+r*maxValues))
		}
		fmt.Fprintf(&b, "]\n    "+key+"\n", "[\n        "+strings.Join(values, ",\n        ")+"]")
	}
	return b.String()
}

// TestHostileProjectIsComparedWithinABudget: whatever a project's file of the full size
// makes of a short policy of the user's, comparing them costs no more than the budget, and
// what was not compared is refused with its reason.
func TestHostileProjectIsComparedWithinABudget(t *testing.T) {
	ports := "1"
	for p := 2; p <= 200; p++ {
		ports += fmt.Sprint(", ", p)
	}
	stars := strings.Repeat("fobary*", 60)
	for name, c := range map[string]struct{ user, project string }{
		"query": {"query: {q: ['*foo', '*bar', '*bay']}", nastyRules("query: {q: %s}", 200, 32, func(i int) string { return fmt.Sprintf("%s%dfoo", stars, i) })},
		"query, one port": {"query: {q: ['*.json']}", nastyRules("query: {q: %s}", 1, 32, func(i int) string {
			return fmt.Sprintf("%s%d.json", strings.Repeat("son.j*", 70), i)
		})},
		"headers": {"headers: {X-A: ['*foo', '*bar', '*bay']}", nastyRules("headers: {X-A: %s}", 8, 32, func(i int) string { return fmt.Sprintf("%s%dfoo", stars, i) })},
		"paths":   {"paths: ['/**/foo', '/**/bar', '/**/bay']", nastyRules("paths: %s", 200, 32, func(i int) string { return fmt.Sprintf("/%s%d/foo", stars, i) })},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.project) > maxSize {
				t.Fatalf("%d bytes", len(c.project))
			}
			user := "version: 1\nnetwork:\n  allow:\n    - {host: api.acme.dev, ports: [" + ports + "], " + c.user + "}\n"
			u, faults := parse(user, layerUser)
			d, more := parse(c.project, layerProject)
			if len(faults)+len(more) > 0 {
				t.Fatal(faults, more)
			}
			s := newState()
			mergeDocument(s, u)
			start := time.Now()
			var r report
			tighten(s, s.clone(), d, &r)
			t.Logf("%d steps in %v", s.work.done, time.Since(start))
			if most := maxLoadWork + maxWork; s.work.done > most {
				t.Errorf("%d steps, of %d", s.work.done, most)
			}
			if !s.work.over {
				t.Error("it was no work at all: the file is not hostile enough")
			}
			newBench(t).user(user).project(c.project).refused(belljar.KindRefused, "take too long to compare")
		})
	}
}

// TestWorkIsRemembered: what was compared once is not compared again, for another port or
// method.
func TestWorkIsRemembered(t *testing.T) {
	cost := func(ports, methods string) int {
		d, faults := parse("version: 1\nnetwork: {allow: [{host: a.test, ports: ["+ports+"], query: {q: ['*foo*', '*bar*']}, paths: ['/**/a', '/**/b']}]}\n", layerUser)
		p, more := parse("version: 1\nnetwork: {allow: [{host: a.test, ports: ["+ports+"], methods: ["+methods+"], query: {q: 'x*y*foo'}, paths: ['/*x/*y/a']}]}\n", layerProject)
		if len(faults)+len(more) > 0 {
			t.Fatal(faults, more)
		}
		s := newState()
		mergeDocument(s, d)
		var r report
		tighten(s, s.clone(), p, &r)
		if len(r.faults) > 0 {
			t.Fatal(r.faults)
		}
		return s.work.done
	}
	one, many := cost("1", "GET"), cost("1, 2, 3, 4, 5, 6, 7, 8", "GET, PUT, POST, DELETE, PATCH")
	if many > 3*one {
		t.Errorf("%d steps for one port and method, %d for 8 and 5", one, many)
	}
}
