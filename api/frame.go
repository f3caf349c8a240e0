package api

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is one byte that names its kind, three bytes of length and that much content.
const (
	headSize = 4
	maxFrame = 32 << 10 // of content
	window   = 128 << 10
)

// A frameKind names a frame.
type frameKind byte

// The kinds of frames.
const (
	frameData   frameKind = 'd' // a channel, then bytes of it
	frameEnd    frameKind = 'e' // a channel: no more of it
	frameCredit frameKind = 'c' // a channel, four bytes: so much more of it may be sent
	frameSize   frameKind = 'r' // rows, columns: two bytes each
	frameSignal frameKind = 's' // a signal
	frameExit   frameKind = 'x' // four bytes of code, a signal
	frameFault  frameKind = 'f' // an error, as JSON
	frameNote   frameKind = 'n' // words of the supervisor, to who took the sandbox
)

// The channels of a stream.
const (
	chanIn  = 0
	chanOut = 1
	chanErr = 2
	chans   = 3
)

// maxSignal is the highest signal that is passed on.
const maxSignal = 64

var errFrame = errors.New("a frame that makes no sense")

// A frame is one frame as it was read: only what its kind has is set.
type frame struct {
	kind    frameKind
	channel byte
	data    []byte // valid until the next one is read
	credit  int
	rows    uint16
	cols    uint16
	code    int
	signal  int
}

// A frameReader reads frames that somebody else wrote. It holds one at a time.
type frameReader struct {
	r   *bufio.Reader
	buf []byte
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, 64<<10), buf: make([]byte, maxFrame)}
}

// next reads one frame. After an error there is no further one.
func (f *frameReader) next() (frame, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return frame{}, err
	}
	n := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	if n > maxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	b := f.buf[:n]
	if _, err := io.ReadFull(f.r, b); err != nil {
		return frame{}, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return parseFrame(frameKind(head[0]), b)
}

// parseFrame takes the content of a frame apart.
func parseFrame(kind frameKind, b []byte) (frame, error) {
	x := frame{kind: kind}
	switch kind {
	case frameData, frameEnd, frameCredit:
		if len(b) == 0 || b[0] >= chans {
			return x, fmt.Errorf("%w: no channel", errFrame)
		}
		x.channel, b = b[0], b[1:]
	case frameSize, frameSignal, frameExit, frameFault, frameNote:
	default:
		return x, fmt.Errorf("%w: kind %d", errFrame, kind)
	}
	want := map[frameKind]int{frameEnd: 0, frameCredit: 4, frameSize: 4, frameSignal: 1, frameExit: 5}
	if n, fixed := want[kind]; fixed && len(b) != n {
		return x, fmt.Errorf("%w: %d bytes of kind %q", errFrame, len(b), kind)
	}
	switch kind {
	case frameData, frameFault, frameNote:
		x.data = b
	case frameCredit:
		n := binary.BigEndian.Uint32(b)
		if n > window {
			return x, fmt.Errorf("%w: a credit of %d", errFrame, n)
		}
		x.credit = int(n)
	case frameSize:
		x.rows, x.cols = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case frameSignal:
		x.signal = int(b[0])
	case frameExit:
		code := binary.BigEndian.Uint32(b)
		x.code, x.signal = int(code&0xff), int(b[4])
	}
	if x.signal > maxSignal || kind == frameSignal && x.signal == 0 {
		return x, fmt.Errorf("%w: signal %d", errFrame, x.signal)
	}
	return x, nil
}

// appendFrame appends a frame with the content of parts.
func appendFrame(dst []byte, kind frameKind, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = append(dst, byte(kind), byte(n>>16), byte(n>>8), byte(n))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

func creditFrame(channel byte, n int) []byte {
	return appendFrame(nil, frameCredit, binary.BigEndian.AppendUint32([]byte{channel}, uint32(n)))
}

func sizeFrame(rows, cols uint16) []byte {
	return appendFrame(nil, frameSize, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, rows), cols))
}

func exitFrame(code, signal int) []byte {
	return appendFrame(nil, frameExit, append(binary.BigEndian.AppendUint32(nil, uint32(code&0xff)), byte(signal)))
}
