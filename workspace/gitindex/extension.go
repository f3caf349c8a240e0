package gitindex

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// extensions reads what follows the entries. Two of the extensions say where
// others and entries begin; git then reads from there, so they must tell the truth.
func (p *parser) extensions() error {
	p.entryEnds = p.pos
	split := false
	for p.pos < p.end {
		var h [8]byte
		if err := p.read(h[:]); err != nil {
			return err
		}
		sig, size := string(h[:4]), int64(binary.BigEndian.Uint32(h[4:]))
		if size > p.end-p.pos {
			return fmt.Errorf("the extension %q is longer than the index", sig)
		}
		switch {
		case sig == "link":
			split = true
		case sig == "sdir":
		case sig == "IEOT":
			if err := p.offsets(size); err != nil {
				return err
			}
			continue
		case sig[0] < 'A' || sig[0] > 'Z':
			return fmt.Errorf("the extension %q is not known", sig)
		}
		n, err := p.in.Discard(int(size))
		p.pos += int64(n)
		if err != nil {
			return p.short(err)
		}
	}
	if p.empties && !split {
		return errors.New("an entry has no path")
	}
	return p.endOfEntries()
}

// offsets verifies the table that lets git read entries in several threads: each
// block must begin at an entry that does not lean on the one before.
func (p *parser) offsets(size int64) error {
	if size < 4 || (size-4)%8 != 0 || (size-4)/8 > int64(p.count) {
		return errors.New("the table of entries has an impossible size")
	}
	var b [8]byte
	if err := p.read(b[:4]); err != nil {
		return err
	}
	if v := binary.BigEndian.Uint32(b[:]); v != 1 {
		return fmt.Errorf("the table of entries has version %d, which is not known", v)
	}
	at := int64(0)
	for range (size - 4) / 8 {
		if err := p.read(b[:]); err != nil {
			return err
		}
		off, n := int64(binary.BigEndian.Uint32(b[:])), int64(binary.BigEndian.Uint32(b[4:]))
		if n == 0 || at+n > int64(p.count) || p.starts[at] != off || !p.whole[at] && p.version == 4 {
			return errors.New("the table of entries does not fit them: " + twoReadings)
		}
		at += n
	}
	if at != int64(p.count) {
		return errors.New("the table of entries does not hold them all: " + twoReadings)
	}
	return nil
}

// endOfEntries verifies the extension that says where the entries end. git looks
// for it at a fixed distance from the end, whatever is really there.
func (p *parser) endOfEntries() error {
	size := 4 + p.hash
	at := p.end - 8 - size
	if at < p.entryEnds {
		return nil
	}
	var b [12]byte
	if _, err := p.file.ReadAt(b[:], at); err != nil {
		return p.short(err)
	}
	if string(b[:4]) != "EOIE" || int64(binary.BigEndian.Uint32(b[4:])) != size {
		return nil
	}
	if int64(binary.BigEndian.Uint32(b[8:])) != p.entryEnds {
		return errors.New("the entries end elsewhere than the index says: " + twoReadings)
	}
	return nil
}
