package event

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
)

const (
	maxArgv   = 256 << 10 // bytes of argv in one event
	maxArgs   = 16 << 10  // strings of argv in one event
	maxString = 16 << 10  // bytes of any other string
)

// clean bounds an event and makes its strings UTF-8. It never changes what e
// points to.
func clean(e belljar.Event) belljar.Event {
	switch {
	case e.Exec != nil:
		x := *e.Exec
		x.Path, x.Called = cleanString(x.Path), cleanString(x.Called)
		x.Dir, x.Refused = cleanString(x.Dir), cleanString(x.Refused)
		var cut int
		x.Argv, cut = cleanArgv(x.Argv)
		x.Truncated += cut
		e.Exec = &x
	case e.Net != nil:
		x := *e.Net
		x.Proto, x.Host, x.Addr = cleanString(x.Proto), cleanString(x.Host), cleanString(x.Addr)
		x.Reason, x.Fix = cleanString(x.Reason), cleanString(x.Fix)
		x.Method, x.Path, x.Credential = cleanString(x.Method), cleanString(x.Path), cleanString(x.Credential)
		x.Program = cleanString(x.Program)
		e.Net = &x
	case e.File != nil:
		x := *e.File
		x.Path, x.To = cleanString(x.Path), cleanString(x.To)
		x.Reason, x.Class = cleanString(x.Reason), cleanString(x.Class)
		e.File = &x
	case e.Ask != nil:
		x := *e.Ask
		x.Host, x.Method, x.Path = cleanString(x.Host), cleanString(x.Method), cleanString(x.Path)
		x.Command, x.Note, x.By = cleanString(x.Command), cleanString(x.Note), cleanString(x.By)
		e.Ask = &x
	case e.Judge != nil:
		x := *e.Judge
		if cut := len(x.Line) - len(cutString(x.Line, maxString)); cut > 0 { // its tail may be what matters
			sum := sha256.Sum256([]byte(x.Line))
			x.Truncated, x.Digest = cut, hex.EncodeToString(sum[:])
		}
		x.Line = validString(cutString(x.Line, maxString))
		x.Agent, x.Dir = cleanString(x.Agent), cleanString(x.Dir)
		x.Reason, x.Rule, x.Part = cleanString(x.Reason), cleanString(x.Rule), cleanString(x.Part)
		e.Judge = &x
	case e.Terminal != nil:
		x := *e.Terminal
		x.What = cleanString(x.What)
		e.Terminal = &x
	case e.End != nil:
		x := *e.End
		x.Limit, x.Detail = cleanString(x.Limit), cleanString(x.Detail)
		x.Argv = saidArgv(x.Argv)
		e.End = &x
	case e.Take != nil:
		x := *e.Take
		x.Argv = saidArgv(x.Argv)
		x.Dir, x.By = cleanString(x.Dir), cleanString(x.By)
		e.Take = &x
	case e.Start != nil:
		x := *e.Start
		x.Argv = saidArgv(x.Argv)
		x.Workspace, x.Host = cleanString(x.Workspace), cleanString(x.Host)
		e.Start = &x
	}
	return e
}

// cleanArgv copies argv only where something has to change, and returns how many
// bytes were cut.
func cleanArgv(argv []string) ([]string, int) {
	left, cut := maxArgv, 0
	copied := false
	for i, s := range argv {
		if i == maxArgs || left == 0 {
			for _, rest := range argv[i:] {
				cut += len(rest)
			}
			return argv[:i:i], cut
		}
		c := s
		if len(c) > left {
			c = cutString(c, left)
			cut += len(s) - len(c)
			left = 0
		} else {
			left -= len(c)
		}
		if c = validString(c); c != s {
			if !copied {
				argv, copied = slices.Clone(argv), true
			}
			argv[i] = c
		}
	}
	return argv, cut
}

// saidArgv is cleanArgv for events that have no number for what was cut: it is an argument more.
func saidArgv(argv []string) []string {
	out, cut := cleanArgv(argv)
	if cut > 0 {
		out = append(slices.Clone(out), more(cut))
	}
	return out
}

// cleanString says at its end what it cut.
func cleanString(s string) string {
	c := cutString(s, maxString)
	if cut := len(s) - len(c); cut > 0 {
		return validString(c) + more(cut)
	}
	return validString(c)
}

func more(n int) string { return "…[" + strconv.Itoa(n) + " bytes more]" }

// cutString cuts s to at most n bytes, not inside a character.
func cutString(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := 0; i < utf8.UTFMax && n > 0 && !utf8.RuneStart(s[n]); i++ {
		n--
	}
	return s[:n]
}

// validString writes the bytes of s that are not UTF-8 as \xNN: JSON has no
// other way to keep them apart.
func validString(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b.WriteString(`\x`)
			if s[0] < 16 {
				b.WriteByte('0')
			}
			b.WriteString(strconv.FormatUint(uint64(s[0]), 16))
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}
