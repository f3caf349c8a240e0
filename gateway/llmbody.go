package gateway

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/belljar-dev/belljar/gateway/llm"
)

const (
	// maxWindow is how far back a compressed body may refer: programs that do not ask for
	// more than usual stay below.
	maxWindow = 4 << 20
	// decoderMemory is what decoding one is taken to hold.
	decoderMemory = 2 * maxWindow
)

var errManyBodies = &llmRefusal{llm.Busy, "too many requests to models at once, by their size"}

// coding is how a body is compressed, where that is a way that is read here.
func coding(h http.Header) string {
	l := h["Content-Encoding"]
	if len(l) != 1 {
		return ""
	}
	switch c := strings.ToLower(l[0]); c {
	case "zstd", "gzip":
		return c
	}
	return ""
}

// decoded is the body without its compression. What it reads is bounded by who reads. end
// gives back what decoding holds.
func (c *llmCall) decoded(r *http.Request) (in io.Reader, end func(), err error) {
	how := coding(r.Header)
	if how == "" {
		return r.Body, func() {}, nil
	}
	if c.g.bodies.Add(decoderMemory) > llmMemory {
		c.g.bodies.Add(-decoderMemory)
		return nil, nil, errManyBodies
	}
	d := &decoder{body: r.Body}
	free := func() { c.g.bodies.Add(-decoderMemory) }
	if how == "gzip" {
		d.open = func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
		return d, free, nil
	}
	z, err := zstd.NewReader(d.source(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		free()
		return nil, nil, d.fault(err)
	}
	d.out = z
	return d, func() {
		z.Close()
		free()
	}, nil
}

// A decoder decompresses a body, and tells faults of it from those of the connection.
type decoder struct {
	body io.Reader
	open func(io.Reader) (io.Reader, error) // makes out; nil: it is there
	out  io.Reader
	lost error // of the body
	size int   // of what was read of it
}

// source is the body, whose faults are noted.
func (d *decoder) source() io.Reader { return (*decoderSource)(d) }

type decoderSource decoder

func (d *decoderSource) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if d.size += n; d.size > llm.MaxBody {
		d.lost = &llmRefusal{llm.TooLarge, tooLarge}
		return 0, d.lost
	}
	if err != nil && err != io.EOF {
		d.lost = err
	}
	return n, err
}

func (d *decoder) fault(err error) error {
	if d.lost != nil {
		return d.lost
	}
	return &llmRefusal{llm.Malformed, "the body of a request to a model cannot be decompressed"}
}

// Read implements [io.Reader].
func (d *decoder) Read(p []byte) (int, error) {
	if d.out == nil {
		out, err := d.open(d.source())
		if err != nil {
			return 0, d.fault(err)
		}
		d.out = out
	}
	n, err := d.out.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.fault(err)
	}
	return n, err
}

// An llmBody is a body that is held.
type llmBody struct {
	g    *Gateway
	b    []byte
	size int64 // that is counted
	once sync.Once
}

func (b *llmBody) release() { b.once.Do(func() { b.g.bodies.Add(-b.size) }) }

// grow makes room for more; false when too much is held.
func (b *llmBody) grow(most int) bool {
	size := min(max(2*cap(b.b), 64<<10), most)
	more := int64(size - cap(b.b))
	if b.g.bodies.Add(more) > llmMemory {
		b.g.bodies.Add(-more)
		return false
	}
	b.size += more
	b.b = append(make([]byte, 0, size), b.b...)
	return true
}

// read reads the body to its end, decoded. What it returns is to be released.
func (c *llmCall) read(r *http.Request) (*llmBody, error) {
	b := &llmBody{g: c.g}
	fail := func(err error) (*llmBody, error) {
		b.release()
		return nil, err
	}
	most := llm.MaxBody + 1
	in, end, err := c.decoded(r)
	if err != nil {
		return fail(err)
	}
	defer end()
	if r.ContentLength >= 0 && coding(r.Header) == "" {
		most = int(r.ContentLength) + 1
	}
	for {
		if len(b.b) == cap(b.b) && !b.grow(most) {
			return fail(errManyBodies)
		}
		n, err := in.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		switch {
		case len(b.b) > llm.MaxBody:
			return fail(&llmRefusal{llm.TooLarge, tooLarge})
		case err == io.EOF:
			return b, nil
		case err != nil:
			return fail(err)
		}
	}
}
