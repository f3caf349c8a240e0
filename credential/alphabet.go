package credential

import (
	"math/bits"
	"strings"

	"github.com/belljar-dev/belljar"
)

// An alphabet says which bytes may be part of the texts that are looked for, in any of
// their forms, and how long those may be. It is made of what is public, the stand-ins,
// and of no more of a value than whether its characters are of the kinds that its
// stand-in shows: what an answer's pieces and delays show of it, anybody may know.
type alphabet struct {
	part [256]bool
	// literal are the bytes whose escapes are left as they are, one pass for each; 0 for
	// none. A text that holds a percent sign itself reads in several ways.
	literal []byte
	// long says that no text is shorter than minRandom. Where stand-ins do not show that,
	// it is not said.
	long bool
	size int // the next power of two from the longest text's length on, 64 at least
}

// standInAlphabet is the alphabet of the stand-ins of creds.
func standInAlphabet(creds []belljar.Credential) alphabet {
	a := alphabet{literal: []byte{0}, long: true}
	size := 64
	for i := range creds {
		size = max(size, len(creds[i].StandIn))
		for _, c := range []byte(creds[i].StandIn) {
			a.part[c] = true
		}
	}
	a.size = 1 << bits.Len(uint(size-1))
	if a.part['%'] || a.part['\\'] {
		a.literal = everyReading()
	}
	for _, c := range []byte(base64URL + "+/=.~" + `%\`) {
		a.part[c] = true
	}
	return a
}

// everyReading are the bytes whose escapes are left, where a text may hold them itself.
func everyReading() []byte { return []byte{0, '%', '\\'} }

// alphabetOf is the alphabet of the values and stand-ins of creds. Where a stand-in does
// not show the characters of its value (a password's) it is every byte that a value may
// hold, and so it is where a value has others than its stand-in, or is shorter than one
// that shows anything.
func alphabetOf(creds []belljar.Credential, values [][]byte) alphabet {
	a := standInAlphabet(creds)
	shown, size := true, a.size
	for i := range creds {
		shown = shown && showsKinds(creds[i].StandIn)
	}
	for _, v := range values {
		size = max(size, len(v))
		shown = shown && len(v) >= minRandom
		for _, c := range v {
			own := c != '%' && c != '\\' || len(a.literal) > 1
			shown = shown && a.part[c] && own
		}
	}
	a.size = 1 << bits.Len(uint(size-1))
	if shown {
		return a
	}
	for c := range a.part {
		a.part[c] = c >= 0x20 && c != 0x7f
	}
	a.literal, a.long = everyReading(), false
	return a
}

// step is how far apart the positions are that a finder looks at.
func (a *alphabet) step() int {
	if a.long {
		return 4
	}
	return 1
}

// showsKinds says whether a stand-in was made in the likeness of its value, as far as
// anybody can see that.
func showsKinds(standIn string) bool {
	return knownToken([]byte(standIn)) || strings.Trim(standIn, base62) != ""
}

// hold is where in b what may be the beginning of a text begins, at or after from: a run
// of bytes of the alphabet at the end, no longer than any form of a text.
func (a *alphabet) hold(b []byte, from int) int {
	reach := 2 * a.size // hexadecimal
	if wide := maxUnit * a.size; len(b)-from > reach && escapes(b[max(from, len(b)-wide):]) {
		reach = wide
	}
	i := len(b)
	for least := max(from, len(b)-reach); i > least && a.part[b[i-1]]; {
		i--
	}
	return i
}
