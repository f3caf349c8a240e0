package httpproxy

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/iotest"
)

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type forwards struct{ to http.RoundTripper }

func (f forwards) Handle(*http.Request) Action { return Action{Forward: f.to} }

func (forwards) Failed(_ *http.Request, err error) *Reply {
	return &Reply{Status: 502, Reason: err.Error()}
}

// lends is a connection that lends one buffer at a time.
type lends struct {
	net.Conn
	t         *testing.T
	buf       []byte
	lent, ret int
}

func (l *lends) Lend() ([]byte, func()) {
	if len(l.buf) == 0 {
		return nil, nil
	}
	if l.lent != l.ret {
		l.t.Error("two buffers at once")
	}
	l.lent++
	return l.buf, func() { l.ret++ }
}

// TestBodies: a response's body arrives as it was, whatever its size, the sizes of the
// pieces in which it is read, and its framing.
func TestBodies(t *testing.T) {
	all := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(all)
	room, tinyRoom := smallPieces-pieceHead-pieceTail, tinyPieces-pieceHead-pieceTail
	for _, buf := range []int{0, 256 << 10} {
		for _, size := range []int{0, 1, tinyRoom - 1, tinyRoom, tinyRoom + 1, tinyPieces, room - 1, room, room + 1, 5*room + 17, 300 << 10, len(all)} {
			for _, chunked := range []bool{false, true} {
				mine, peer := net.Pipe()
				c := &lends{Conn: mine, t: t, buf: make([]byte, buf)}
				served := make(chan struct{})
				go func() {
					defer close(served)
					defer mine.Close()
					body := io.Reader(bytes.NewReader(all[:size]))
					if size%2 == 1 {
						body = iotest.HalfReader(body)
					}
					resp := &http.Response{Status: "200 OK", StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), ContentLength: int64(size)}
					if chunked {
						resp.ContentLength = -1
					}
					Serve(t.Context(), c, bufio.NewReader(c), forwards{tripper(func(*http.Request) (*http.Response, error) { return resp, nil })})
				}()
				_, _ = io.WriteString(peer, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
				r, err := http.ReadResponse(bufio.NewReader(peer), nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(got, all[:size]) {
					t.Errorf("%d bytes, chunked %v, buffer %d: %d bytes, %v", size, chunked, buf, len(got), err)
				}
				if (r.ContentLength < 0) != chunked {
					t.Errorf("%d bytes, chunked %v: length %d", size, chunked, r.ContentLength)
				}
				peer.Close()
				<-served
				if c.lent != c.ret || buf > 0 && size > 2*room && size%2 == 0 && c.lent != 1 {
					t.Errorf("%d bytes: %d buffers lent, %d given back", size, c.lent, c.ret)
				}
			}
		}
	}
}

// TestStatusLine: a status is three digits and its words are one line, whatever the server
// made of them.
func TestStatusLine(t *testing.T) {
	for _, c := range []struct{ status, want string }{
		{"200 OK", "HTTP/1.1 200 OK"},
		{"200", "HTTP/1.1 200 "},
		{"404 200 is not it", "HTTP/1.1 404 200 is not it"},
		{"099 odd", "HTTP/1.1 099 odd"},
		{"500 a\r\nSet-Cookie: b", "HTTP/1.1 500 a??Set-Cookie: b"},
	} {
		code, err := strconv.Atoi(c.status[:3])
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		s := &session{bw: bufio.NewWriter(&b)}
		if err := s.writeHead(&http.Response{StatusCode: code, Status: c.status, Header: http.Header{}}); err != nil {
			t.Fatal(err)
		}
		_ = s.bw.Flush()
		if got := b.String(); got != c.want+"\r\n\r\n" {
			t.Errorf("%q: %q", c.status, got)
		}
	}
}
