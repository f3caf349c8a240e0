//go:build unix

package policy

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostileSize is how large the files are: a quarter of what is allowed, for what is
// quadratic shows there too; all of it in the long run.
func hostileSize() int { return rounds(maxSize/4, maxSize) }

// fill repeats a line until the text is nearly as large as a file may be.
func fill(head, line string) string {
	return head + strings.Repeat(line, (hostileSize()-len(head))/len(line))
}

// numbered is fill with a number in each line.
func numbered(head, format string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := 0; b.Len() < hostileSize()-64; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Files of the full size that are made to be slow to read, or to overflow the stack
// of a recursive parser, are answered in bounded time.
func TestHostileFilesAreAnsweredQuickly(t *testing.T) {
	for name, text := range map[string]string{
		"one line":           "a: " + strings.Repeat("x", maxSize-3),
		"long lines":         fill("a: ", strings.Repeat("x", maxLine-2)+"\n"),
		"comments":           fill("", "#x\n"),
		"newlines":           fill("", "\n"),
		"returns":            fill("", "\r"),
		"spaces":             fill("", strings.Repeat(" ", 1000)+"\n"),
		"keys":               numbered("", "k%d: 1\n"),
		"nested keys":        numbered("env:\n  set:\n", "    k%d: a\n"),
		"same key":           fill("", "a: 1\n"),
		"keys in flow":       numbered("{", "k%d: 1,\n"),
		"flow in flow":       fill("", "["),
		"flow lines":         fill("", "[\n"),
		"maps in flow":       fill("", "{a: \n"),
		"closing":            fill("", "]\n"),
		"dashes":             fill("", "- "),
		"dash lines":         fill("", "-\n"),
		"dash staircase":     staircase("-"),
		"key staircase":      staircase("a:"),
		"dash key staircase": staircase("- a:"),
		"colons":             fill("", "a: a: a: a\n"),
		"percents":           fill("", "%\n"),
		"percent run":        fill("", strings.Repeat("%", 1000)+"\n"),
		"quotes":             fill("", "'\n"),
		"double quotes":      fill("a: \"", "x\n"),
		"single quotes":      fill("a: '", "x\n"),
		"plain lines":        fill("a: x\n", "  y\n"),
		"literal":            fill("a: |\n", "  y\n"),
		"folded":             fill("a: >\n", "  y\n"),
		"literal per line":   fill("", "- |\n  x\n"),
		"quotes per line":    fill("", "- 'x'\n"),
		"anchors":            fill("", "- &a x\n"),
		"aliases":            fill("a: &a [x]\nb:\n", "- *a\n"),
		"tags":               fill("", "- !x y\n"),
		"merge":              fill("", "<<: a\n"),
		"questions":          fill("", "? "),
		"question lines":     fill("", "? a\n"),
		"documents":          fill("", "---\n"),
		"ends":               fill("", "...\n"),
		"flow rules":         numbered("version: 1\nnetwork:\n  allow:\n", "  - {host: h%d.example.com, ports: [1, 2]}\n"),
		"block rules":        numbered("version: 1\nnetwork:\n  allow:\n", "  - host: h%d.example.com\n    ports: [1]\n"),
		"rules":              numbered("version: 1\nnetwork:\n  allow:\n", "  - h%d.example.com\n"),
		"faulty rules":       numbered("version: 1\nnetwork:\n  allow:\n", "  - h%d..example.com\n"),
		"one flow list":      numbered("version: 1\nnetwork:\n  allow: [", "a%d.example.com,\n"),
		"tabs":               fill("a: x\n", "\t\n"),
		"hide":               numbered("version: 1\nfiles:\n  hide:\n", "  - '{a,b}{c,d}{e,f}{g,h}{i,j}{k,l}%d'\n"),
		"read":               numbered("version: 1\nfiles:\n  read:\n", "  - /a/%d\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if len(text) > maxSize {
				t.Fatalf("%d bytes", len(text))
			}
			start := processorTime(t)
			_, faults := parse(text, layerProject)
			took := processorTime(t) - start
			first := "none"
			if len(faults) > 0 {
				first = faults[0].Message
			}
			t.Logf("%v: %d faults, first: %.80s", took, len(faults), first)
			if took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// processorTime is what this process has used so far: other load does not count.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// staircase indents every line one deeper than the one before.
func staircase(word string) string {
	var b strings.Builder
	for i := 0; b.Len()+i+len(word) < hostileSize()-2 && i < maxLine-8; i++ {
		b.WriteString(strings.Repeat(" ", i) + word + "\n")
	}
	return b.String()
}
