package event

import (
	"bytes"
	"strings"
	"time"
)

// A sieve judges lines by their bytes: it never holds back one that its filter selects, if
// the line is written as a [Record] writes it.
type sieve struct {
	needle []byte     // is in every line that is meant; empty where nothing is
	any    [][][]byte // of each list at least one is in the line
	kinds  [][]byte   // the kind is one of these, where there are any
	since  time.Time
	until  time.Time
}

func newSieve(f *Filter) sieve {
	if f.Process != "" { // which processes ran it is told by lines that need not be meant themselves
		return sieve{any: [][][]byte{{[]byte(`"kind":"exec"`), []byte(`"kind":"exit"`)}}}
	}
	s := sieve{since: f.Since, until: f.Until}
	for _, k := range f.Kinds {
		s.kinds = append(s.kinds, []byte(k))
	}
	for _, text := range []string{strings.TrimPrefix(canonicalHost(f.Host), "*"), literal(f.Path)} {
		if plain(text) && len(text) > len(s.needle) {
			s.needle = []byte(text)
		}
	}
	switch f.Verdict {
	case VerdictDeny:
		s.any = append(s.any, [][]byte{[]byte(`"refused":"`), []byte(`"kind":"refuse"`), []byte(`"verdict":"deny"`), []byte(`"kind":"answer"`), []byte(`"kind":"judge"`)})
	case VerdictHold, VerdictHide:
		s.any = append(s.any, [][]byte{[]byte(`"verdict":"` + string(f.Verdict) + `"`)})
	case VerdictAsk:
		s.any = append(s.any, [][]byte{[]byte(`"kind":"ask"`)})
	}
	if len(s.needle) == 0 && len(f.Kinds) == 1 {
		s.needle = []byte(`"kind":"` + string(f.Kinds[0]) + `"`)
	}
	return s
}

// literal is the longest part of a pattern of package path that stands for itself.
func literal(pattern string) string {
	longest := ""
	for _, part := range strings.FieldsFunc(pattern, func(r rune) bool { return strings.ContainsRune(`*?\`, r) }) {
		if strings.ContainsAny(part, "[]") {
			return "" // what stands between brackets is no text
		}
		if part = strings.Trim(part, "/"); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// plain says whether text stands in JSON as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return text != ""
}

// next returns the first line that has the needle, without its newline, and what follows it.
func (s *sieve) next(lines []byte) (line, rest []byte) {
	at := bytes.Index(lines, s.needle)
	if at < 0 {
		return nil, nil
	}
	from := bytes.LastIndexByte(lines[:at], '\n') + 1
	end := at + bytes.IndexByte(lines[at:], '\n')
	return lines[from:end], lines[end+1:]
}

// may says whether the line can be meant.
func (s *sieve) may(line []byte) bool {
	for _, list := range s.any {
		found := false
		for _, b := range list {
			found = found || bytes.Contains(line, b)
		}
		if !found {
			return false
		}
	}
	if len(s.kinds) == 0 && s.since.IsZero() && s.until.IsZero() {
		return true
	}
	kind, when, ok := header(line)
	if !ok {
		return true // the decoder judges it
	}
	fits := len(s.kinds) == 0
	for _, k := range s.kinds {
		fits = fits || bytes.Equal(k, kind)
	}
	return fits && (s.since.IsZero() || !when.Before(s.since)) && (s.until.IsZero() || when.Before(s.until))
}

// header reads kind and time from where a [Record] writes them.
func header(line []byte) (kind []byte, when time.Time, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	comma := bytes.IndexByte(rest, ',')
	const before = len(`,"prev":"`) + hashSize + len(`",`)
	if !ok || comma < 0 || len(rest) < comma+before {
		return nil, when, false
	}
	rest, ok = bytes.CutPrefix(rest[comma+before:], []byte(`"kind":"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return nil, when, false
	}
	kind = rest[:end]
	rest, ok = bytes.CutPrefix(rest[end:], []byte(`","time":"`))
	end = bytes.IndexByte(rest, '"')
	if !ok || end < 0 || when.UnmarshalText(rest[:end]) != nil {
		return nil, when, false
	}
	return kind, when, true
}
