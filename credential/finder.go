package credential

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
)

// A finder finds texts (values, or stand-ins) in the forms of [fixedForms], and those
// with any of their characters escaped. It does not change and may be used by several
// goroutines at once.
//
// The time that it takes does not tell how much of a text is in what is searched: an
// agent may have a host send what it guesses, as often as it likes, and look at the
// clock. So all positions are looked at in the same way: the next eight bytes, hashed
// with a factor that nobody knows, are those of a needle or they are not. Nothing is
// skipped by what the texts hold, and what is escaped is decoded by what it is alone.
// It is linear in the length of what is searched, unless a text repeats itself over and
// over.
type finder struct {
	abc     alphabet
	texts   []finderText
	needles []needle
	factor  uint64             // of the hash
	bits    *[1 << 10]uint64   // a bit for each hash of a probe
	at      map[uint16][]probe // by it
	step    int                // how many positions there are from one that is looked at to the next
	first   [256]bool          // that begin a match
	pair    [1 << 13]byte      // a bit for each two bytes that do
	longest int                // needle
	widest  int                // a needle with every character escaped
	memory  secret             // of texts and needles
	scratch sync.Pool          // of *decodedRun
}

type finderText struct {
	id   int // of the credential
	text []byte
	mask []byte // of the same length; nil where nothing is replaced
}

// A needle is one form of a text.
type needle struct {
	bytes, mask []byte
	id          int
}

// A probe is eight bytes of a needle by which it is found.
type probe struct{ needle, offset int }

// A match is what was found at [start,end).
type match struct {
	start, end int
	id         int
	mask       []byte // to write over it
	text       []byte // whose spelling mask takes over; nil where mask is written as it is
}

// newFinder makes a finder; nil when there is nothing to find. What is escaped is looked
// at where it may be of a text that is of abc.
func newFinder(texts []finderText, abc alphabet) *finder {
	f := &finder{abc: abc, bits: new([1 << 10]uint64), at: map[uint16][]probe{}, step: abc.step()}
	for _, t := range texts {
		f.add(t)
		if bytes.IndexByte(t.text, ' ') >= 0 { // a space is a plus in a query
			f.add(finderText{id: t.id, text: bytes.ReplaceAll(t.text, []byte(" "), []byte("+")), mask: bytes.ReplaceAll(t.mask, []byte(" "), []byte("+"))})
		}
	}
	if len(f.needles) == 0 {
		return nil
	}
	f.keep()
	f.scratch.New = func() any { return new(decodedRun) }
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	f.factor = binary.LittleEndian.Uint64(b[:]) | 1
	f.first['%'], f.first['\\'] = true, true
	for i, n := range f.needles {
		f.longest = max(f.longest, len(n.bytes))
		f.first[n.bytes[0]] = true
		f.setPairs(n.bytes)
		for j := range f.step {
			f.addProbe(probe{i, firstProbe(len(n.bytes), f.step) + j})
		}
	}
	f.widest = maxUnit * f.longest
	return f
}

// firstProbe is where the probes of a needle of n begin: in the middle, for what is at
// its ends may be public, and not among the first that an escape before it may have
// swallowed, see [finder.behind].
func firstProbe(n, step int) int {
	room := n - minFound - (step - 1)
	return max(room/2, min(maxSwallowed, room))
}

func (f *finder) addProbe(p probe) {
	h := hash(f.needles[p.needle].bytes[p.offset:], f.factor)
	f.bits[h>>6] |= 1 << (h & 63)
	f.at[uint16(h)] = append(f.at[uint16(h)], p)
}

// hash is of the next eight bytes.
func hash(b []byte, factor uint64) uint64 { return binary.LittleEndian.Uint64(b) * factor >> 48 }

func (f *finder) add(t finderText) {
	if len(t.text) < minFound || f.has(t.text) {
		return
	}
	f.texts = append(f.texts, t)
	forms := fixedForms(t.text)
	masks := make([][]byte, len(forms))
	if t.mask != nil {
		masks = fixedForms(t.mask)
	}
	for i, b := range forms {
		if !f.has(b) {
			f.needles = append(f.needles, needle{bytes: b, mask: masks[i], id: t.id})
		}
	}
	for _, m := range jsonForms(t.text, t.mask) {
		if !f.has(m.form) {
			f.needles = append(f.needles, needle{bytes: m.form, mask: m.mask, id: t.id})
		}
	}
}

func (f *finder) has(form []byte) bool {
	return slices.ContainsFunc(f.needles, func(n needle) bool { return bytes.Equal(n.bytes, form) })
}

// keep moves the texts and their forms into memory of their own.
func (f *finder) keep() {
	size := 0
	for _, n := range f.needles {
		size += len(n.bytes)
	}
	for _, t := range f.texts {
		size += len(t.text)
	}
	f.memory = newSecret(size)
	rest := f.memory.region().b
	move := func(b []byte) []byte {
		n := copy(rest, b)
		moved := rest[:n:n]
		rest = rest[n:]
		return moved
	}
	for i := range f.texts { // before the forms, of which the first is the text
		f.texts[i].text = move(f.texts[i].text)
	}
	for i := range f.needles {
		b := f.needles[i].bytes
		f.needles[i].bytes = move(b)
		clear(b)
	}
}

// setPairs notes how a form, also of escaped characters, begins.
func (f *finder) setPairs(form []byte) {
	set := func(a, b byte) {
		p := binary.LittleEndian.Uint16([]byte{a, b})
		f.pair[p>>3] |= 1 << (p & 7)
	}
	for _, second := range []byte{form[1], '%', '\\'} {
		set(form[0], second)
	}
	for i := range 256 {
		set('%', byte(i))
		set('\\', byte(i))
	}
}

// begins says whether two bytes may begin a match.
func (f *finder) begins(b []byte) bool {
	p := binary.LittleEndian.Uint16(b)
	return f.pair[p>>3]>>(p&7)&1 != 0
}

// open is the first position at or after from where what is not yet complete in b
// could still become a match; len(b) when there is none. It depends on the texts: it is
// for texts that are no secret.
func (f *finder) open(b []byte, from int) int {
	reach := f.longest
	if tail := b[max(from, len(b)-f.widest):]; len(tail) > reach && escapes(tail) {
		reach = f.widest
	}
	for i := max(from, len(b)-reach); i < len(b); i++ {
		if f.first[b[i]] && (i+1 == len(b) || f.begins(b[i:])) && f.opens(b[i:]) {
			return i
		}
	}
	return len(b)
}

func (f *finder) opens(tail []byte) bool {
	return slices.ContainsFunc(f.needles, func(n needle) bool {
		_, more := matchUnits(tail, n.bytes)
		return more || len(tail) < len(n.bytes) && bytes.HasPrefix(n.bytes, tail)
	})
}
