package credential

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
)

// contentCoding is how an answer's body is encoded, "" when it is not; several codings
// are one name that nothing decodes.
func contentCoding(h http.Header) string {
	var all []string
	for _, name := range []string{"Content-Encoding", "Transfer-Encoding"} {
		for _, c := range strings.Split(strings.Join(h[name], ","), ",") {
			if c = strings.ToLower(strings.TrimSpace(c)); c != "" && c != "identity" && c != "chunked" {
				all = append(all, c)
			}
		}
	}
	return strings.Join(all, ",")
}

// decodes says whether a coding can be undone.
func decodes(coding string) bool {
	return coding == "gzip" || coding == "x-gzip" || coding == "deflate"
}

// A decoded body is read from the source only once it is read itself.
type decoded struct {
	src    io.ReadCloser
	coding string
	r      io.Reader
	err    error
}

// Read implements [io.Reader].
func (d *decoded) Read(p []byte) (int, error) {
	if d.r == nil && d.err == nil {
		d.open()
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.r.Read(p)
}

func (d *decoded) open() {
	src := bufio.NewReaderSize(d.src, room)
	if d.coding != "deflate" {
		d.r, d.err = gzip.NewReader(src)
		return
	}
	// What is called deflate is a zlib stream, and with some servers a bare one.
	if first, err := src.Peek(2); err == nil && first[0]&0x0f == 8 && (int(first[0])<<8|int(first[1]))%31 == 0 {
		d.r, d.err = zlib.NewReader(src)
		return
	}
	d.r = flate.NewReader(src)
}

// Close closes the source.
func (d *decoded) Close() error { return d.src.Close() }
