package glob

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form of a name in which names are compared: what some file
// system in use takes for the same name has the same form. Case is folded
// (fully, so "ß" is "ss"), code points that HFS+, APFS or a case-insensitive
// ext4 ignore are removed, the rest is brought into composed normal form.
// Bytes that are not UTF-8 are kept. Fold is idempotent and does not allocate
// for a name that is lower-case ASCII. A name of ignored code points only is kept,
// so that no name becomes empty.
func Fold(name string) string {
	upper := false
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= utf8.RuneSelf {
			return foldUnicode(name)
		}
		upper = upper || 'A' <= c && c <= 'Z'
	}
	if upper {
		return strings.ToLower(name)
	}
	return name
}

func foldUnicode(name string) string {
	whole := name
	// Folding can produce characters that compose anew; a second round is enough
	// for all of Unicode, a third is harmless. The bound keeps a surprise finite.
	for range 4 {
		f := foldOnce(name)
		if f == name {
			break
		}
		if f == "" {
			return whole
		}
		name = f
	}
	return name
}

// foldOnce folds the valid stretches and keeps the invalid bytes between them.
func foldOnce(name string) string {
	var out, run strings.Builder
	flush := func() {
		if run.Len() > 0 {
			out.WriteString(norm.NFC.String(cases.Fold().String(norm.NFD.String(run.String()))))
			run.Reset()
		}
	}
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			flush()
			out.WriteByte(name[i])
		case !ignored(r):
			run.WriteString(name[i : i+n])
		}
		i += n
	}
	flush()
	return out.String()
}

// ignored says whether file systems drop r when they compare names: git's list
// for HFS+ and the default-ignorable code points of Unicode.
func ignored(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0xfeff:
		return true
	case r >= 0x180b && r <= 0x180f, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
