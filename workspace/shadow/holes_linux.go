package shadow

import (
	"bytes"
	"os"
)

// A holer writes a new file and leaves out what is all zero, so that a copy takes no
// more room than a sparse original.
type holer struct {
	f     *os.File
	at    int64
	dense bool // the original has no holes, and neither has the copy
}

// holeSize is the unit that is looked at: a page.
const holeSize = 4096

var zeros [holeSize]byte

func (h *holer) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(holeSize-int(h.at%holeSize), len(b)-done)
		part := b[done : done+n]
		if h.dense || n < holeSize || !bytes.Equal(part, zeros[:]) {
			if _, err := h.f.WriteAt(part, h.at); err != nil {
				return done, err
			}
		}
		done, h.at = done+n, h.at+int64(n)
	}
	return len(b), nil
}

// end gives the file its size.
func (h *holer) end() error { return h.f.Truncate(h.at) }
