package event

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// A Secret is a text that is never written to a record; its name is.
type Secret struct {
	Name string
	Text string
}

const (
	minSecret = 8        // shorter ones of a sandbox are in too much else
	maxSecret = 512      // longer ones are no tokens: nobody hides a command line as one
	maxPEM    = 16 << 10 // of a private key
)

// A pattern is how a kind of token begins, and what it is made of.
type pattern struct {
	prefix string
	least  int // characters behind the prefix
	more   string
	fold   bool // the prefix, here in lower case, in any case
}

// patterns are public: providers mark their tokens so that they can be found. What the
// prefix says stays.
var patterns = []pattern{
	{prefix: "ghp_", least: 30}, {prefix: "gho_", least: 30}, {prefix: "ghu_", least: 30}, {prefix: "ghs_", least: 30}, {prefix: "ghr_", least: 30},
	{prefix: "github_pat_", least: 20}, {prefix: "glpat-", least: 16}, {prefix: "sk-ant-", least: 16}, {prefix: "sk-", least: 20},
	{prefix: "sk_live_", least: 16}, {prefix: "rk_live_", least: 16}, {prefix: "AKIA", least: 16}, {prefix: "ASIA", least: 16},
	{prefix: "AIza", least: 30}, {prefix: "ya29.", least: 20}, {prefix: "xoxb-", least: 10}, {prefix: "xoxp-", least: 10}, {prefix: "xoxa-", least: 10},
	{prefix: "xoxs-", least: 10}, {prefix: "xapp-", least: 10}, {prefix: "npm_", least: 30}, {prefix: "pypi-", least: 16}, {prefix: "hf_", least: 30},
	{prefix: "SG.", least: 20, more: "."}, {prefix: "eyJ", least: 30, more: "."},
	{prefix: "bearer ", least: 16, more: "./+=~", fold: true}, {prefix: "basic ", least: 12, more: "/+=", fold: true},
	{prefix: "password=", least: 4, more: "./+=~!@%^", fold: true}, {prefix: "passwd=", least: 4, more: "./+=~!@%^", fold: true},
	{prefix: "token=", least: 8, more: "./+=~", fold: true}, {prefix: "secret=", least: 8, more: "./+=~", fold: true},
	{prefix: "api_key=", least: 8, more: "./+=~", fold: true}, {prefix: "apikey=", least: 8, more: "./+=~", fold: true}, {prefix: "access_key=", least: 8, more: "./+=~", fold: true},
}

// Redact replaces what looks like a secret by its public prefix and its length: tokens of
// known providers, what follows Bearer, Basic, password= and the like, passwords in
// addresses, private keys.
func Redact(s string) string {
	if !mayHide(s) {
		return s
	}
	lower := lowerASCII(s)
	for i := range patterns {
		if c := patterns[i].redact(s, lower); c != s {
			s, lower = c, lowerASCII(c)
		}
	}
	return redactKeys(redactUserinfo(s))
}

// mayHide says whether anything in s could be a secret: most words are too short for that.
func mayHide(s string) bool {
	const least = 12 // bytes without a space, of every pattern that has no equals sign
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '=' && i > 0 && strings.IndexByte("dntyDNTY", s[i-1]) >= 0, // how the words before it end
			c == ':' && strings.HasPrefix(s[i:], "://"), c == '-' && strings.HasPrefix(s[i:], "-----BEGIN"):
			return true
		case wordByte(c) || c == '-' || c == '.' || c == '/' || c == '+' || c == '~':
			if run++; run >= least {
				return true
			}
		default:
			run = 0
		}
	}
	return false
}

// redact hides in s, which is lower in lower case, what p means.
func (p *pattern) redact(s, lower string) string {
	hay, prefix := s, p.prefix
	if p.fold {
		hay = lower
	}
	var b strings.Builder
	done := 0
	for from := 0; ; {
		i := strings.Index(hay[from:], prefix)
		if i < 0 {
			break
		}
		i += from
		start := i + len(prefix)
		end := start
		for end < len(s) && end-start < maxSecret && p.holds(s[end]) {
			end++
		}
		from = start
		if end-start < p.least || end < len(s) && p.holds(s[end]) || !p.fold && i > 0 && wordByte(s[i-1]) {
			continue
		}
		b.WriteString(s[done:start])
		b.WriteString(hidden(end - start))
		done, from = end, end
	}
	if done == 0 {
		return s
	}
	return b.String() + s[done:]
}

func (p *pattern) holds(c byte) bool {
	return wordByte(c) || c == '-' || strings.IndexByte(p.more, c) >= 0
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// hidden stands for n bytes. It has brackets, so that it is taken for no secret again.
func hidden(n int) string { return fmt.Sprintf("[redacted: %d bytes]", n) }

// lowerASCII keeps every byte where it is, as strings.ToLower does not.
func lowerASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// redactUserinfo hides the passwords of addresses: scheme://user:password@host.
func redactUserinfo(s string) string {
	var b strings.Builder
	done := 0
	for from := 0; ; {
		i := strings.Index(s[from:], "://")
		if i < 0 {
			break
		}
		from += i + len("://")
		end := strings.IndexAny(s[from:min(len(s), from+maxSecret)], "/?# \t\n'\"")
		if end < 0 {
			end = min(len(s), from+maxSecret) - from
		}
		at := strings.LastIndexByte(s[from:from+end], '@')
		colon := strings.IndexByte(s[from:from+max(at, 0)], ':')
		if at < 0 || colon < 0 || colon+1 == at || strings.HasPrefix(s[from+colon+1:], "[redacted: ") {
			continue
		}
		b.WriteString(s[done : from+colon+1])
		b.WriteString(hidden(at - colon - 1))
		done = from + at
	}
	if done == 0 {
		return s
	}
	return b.String() + s[done:]
}

// redactKeys hides private keys as PEM has them.
func redactKeys(s string) string {
	const begin, mark, end = "-----BEGIN ", "PRIVATE KEY-----", "-----END "
	for from := 0; ; {
		i := strings.Index(s[from:], begin)
		if i < 0 {
			return s
		}
		from += i + len(begin)
		m := strings.Index(s[from:min(len(s), from+64)], mark)
		if m < 0 {
			continue
		}
		from += m + len(mark)
		stop := strings.Index(s[from:min(len(s), from+maxPEM)], end)
		if stop < 0 {
			stop = min(len(s), from+maxPEM) - from
		}
		if stop > 0 && !strings.HasPrefix(s[from:], "[redacted: ") {
			s = s[:from] + hidden(stop) + s[from+stop:]
		}
	}
}

// A redactor hides the secrets of one sandbox, then what looks like one.
type redactor struct{ known *strings.Replacer }

func newRedactor(secrets []Secret) redactor {
	list := slices.DeleteFunc(slices.Clone(secrets), func(s Secret) bool { return len(s.Text) < minSecret })
	slices.SortStableFunc(list, func(a, b Secret) int { return cmp.Compare(len(b.Text), len(a.Text)) }) // of one in another the longer
	var pairs []string
	for _, s := range list {
		pairs = append(pairs, s.Text, "["+s.Name+"]")
	}
	if len(pairs) == 0 {
		return redactor{}
	}
	return redactor{strings.NewReplacer(pairs...)}
}

func (r redactor) text(s string) string {
	if r.known != nil && len(s) >= minSecret {
		s = r.known.Replace(s)
	}
	return Redact(s)
}

func (r redactor) argv(argv []string) []string {
	for i, a := range argv {
		if c := r.text(a); c != a {
			out := append(slices.Clone(argv[:i]), c)
			for _, a := range argv[i+1:] {
				out = append(out, r.text(a))
			}
			return out
		}
	}
	return argv
}

// redact is e without secrets. It never changes what e points to.
func (r redactor) redact(e belljar.Event) belljar.Event {
	switch {
	case e.Exec != nil:
		x := *e.Exec
		x.Argv, x.Dir, x.Refused = r.argv(x.Argv), r.text(x.Dir), r.text(x.Refused)
		e.Exec = &x
	case e.Net != nil:
		x := *e.Net
		x.Path, x.Reason, x.Fix, x.Program = r.text(x.Path), r.text(x.Reason), r.text(x.Fix), r.text(x.Program)
		e.Net = &x
	case e.Ask != nil:
		x := *e.Ask
		x.Path, x.Note, x.Command = r.text(x.Path), r.text(x.Note), r.text(x.Command)
		e.Ask = &x
	case e.Judge != nil:
		x := *e.Judge
		x.Line, x.Dir, x.Reason, x.Part = r.text(x.Line), r.text(x.Dir), r.text(x.Reason), r.text(x.Part)
		e.Judge = &x
	case e.Start != nil:
		x := *e.Start
		x.Argv = r.argv(x.Argv)
		e.Start = &x
	case e.Take != nil:
		x := *e.Take
		x.Argv, x.Dir, x.By = r.argv(x.Argv), r.text(x.Dir), r.text(x.By)
		e.Take = &x
	case e.Plan != nil:
		x := *e.Plan
		x.Command.Argv = r.argv(x.Command.Argv)
		e.Plan = &x
	case e.End != nil:
		x := *e.End
		x.Detail, x.Argv = r.text(x.Detail), r.argv(x.Argv)
		e.End = &x
	}
	return e
}
