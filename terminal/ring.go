package terminal

// Bounds of a [Shared]'s memory of what was printed.
const (
	// scrollback is what somebody who attaches is shown of the past.
	scrollback = 256 << 10
	// maxBehind is how far a viewer may be behind before output is left out for them.
	maxBehind = 8 << 20
	// leastPiece is the room of a piece at least.
	leastPiece = 8 << 10
	// maxPiece bounds what is taken at once.
	maxPiece = 32<<10 - 1
)

// A ring is the end of a stream, in pieces that end between two control sequences.
type ring struct {
	pieces [][]byte
	first  int64 // where in the stream the first piece begins
	end    int64
}

// add appends p. What comes in small parts goes together: whoever prints byte by byte must
// not cost a piece for each. What [ring.at] has returned stays as it is.
func (r *ring) add(p []byte) {
	r.end += int64(len(p))
	if n := len(r.pieces) - 1; n >= 0 && len(r.pieces[n])+len(p) <= cap(r.pieces[n]) {
		r.pieces[n] = append(r.pieces[n], p...)
		return
	}
	r.pieces = append(r.pieces, append(make([]byte, 0, max(len(p), leastPiece)), p...))
}

// trim drops what is before at, and what is too much, by whole pieces.
func (r *ring) trim(at int64) {
	n := 0
	for n < len(r.pieces) {
		next := r.first + int64(len(r.pieces[n]))
		if next > at && r.end-r.first <= maxBehind {
			break
		}
		r.first, n = next, n+1
	}
	clear(r.pieces[:n])
	r.pieces = r.pieces[n:]
}

// from is where the last so many bytes begin, at the beginning of a piece.
func (r *ring) from(bytes int64) int64 {
	at := r.end
	for i := len(r.pieces) - 1; i >= 0 && r.end-at+int64(len(r.pieces[i])) <= bytes; i-- {
		at -= int64(len(r.pieces[i]))
	}
	return at
}

// at is what follows position pos, at most maxPiece bytes; nil at the end. pos is not
// before r.first.
func (r *ring) at(pos int64) []byte {
	start := r.first
	for i, p := range r.pieces {
		if next := start + int64(len(p)); pos < next {
			p = p[pos-start:]
			for _, more := range r.pieces[i+1:] { // many small ones go together
				if len(p)+len(more) > maxPiece {
					break
				}
				p = append(p[:len(p):len(p)], more...)
			}
			return p[:min(len(p), maxPiece)]
		} else {
			start = next
		}
	}
	return nil
}
