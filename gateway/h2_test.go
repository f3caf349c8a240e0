package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An h2peer is a client inside that sends frames as it likes.
type h2peer struct {
	*http2.Framer
	c   *tls.Conn
	buf bytes.Buffer
	enc *hpack.Encoder
}

func (w *secureWorld) h2peer(host string) *h2peer {
	w.t.Helper()
	c, err := w.tls(host, 443, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	if err != nil {
		w.t.Fatal(err)
	}
	p := &h2peer{Framer: http2.NewFramer(c, c), c: c}
	p.enc = hpack.NewEncoder(&p.buf)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(c, http2.ClientPreface)
	if err := p.WriteSettings(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// head sends a request's head; fields are name and value in turn.
func (p *h2peer) head(id uint32, fields ...string) error {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.buf.Bytes(), EndHeaders: true, EndStream: true})
}

// answer waits for what becomes of stream id: a status, "reset", "closed", or "nothing" for too long.
func (p *h2peer) answer(id uint32) string {
	for {
		f, err := p.ReadFrame()
		if isTimeout(err) {
			return "nothing"
		}
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset"
			}
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// TestH2Heads: every stream is judged by its own head.
func TestH2Heads(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	base := []string{":method", "GET", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/x"}
	with := func(change ...string) []string {
		out := append([]string{}, base...)
		for i := 0; i < len(change); i += 2 {
			found := false
			for j := 0; j < len(base); j += 2 {
				if out[j] == change[i] {
					out[j+1], found = change[i+1], true
				}
			}
			if !found {
				out = append(out, change[i:i+2]...)
			}
		}
		return out
	}
	p := w.h2peer("api.example.com")
	id := uint32(1)
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{with(), "200"},
		{with(":authority", "evil.example"), "421"},
		{with(":authority", "api.example.com:444"), "421"},
		{with(":authority", "API.example.com:443"), "200"},
		{with("host", "evil.example"), "421"},
		{with("host", "api.example.com"), "200"},
		{with(":path", "/v2/x"), "403"},
		{with(":path", "/v1/../v2/x"), "403"},
		{with(":path", "/v1/%2e%2e/x"), "403"},
		{with(":path", "//v2/x"), "403"},
		{with(":path", "/v1//x"), "200"},
		{with(":path", "http://evil.example/v1/x"), "421"},
		{with(":path", "/v1/a b"), "reset 403"},
		{with(":path", "v1/x"), "reset"},
		{with(":path", "/v1/x#y"), "403"},
		{with(":method", "DELETE"), "403"},
		{with(":method", "GET /v1/x HTTP/1.1\r\nHost: evil\r\n\r\n"), "reset 400 403"},
		{with(":method", "get"), "403"},
		{with(":scheme", "ftp"), "reset"},
		{[]string{":method", "CONNECT", ":authority", "evil.example:443"}, "421"},
		{with(":method", "CONNECT", ":protocol", "websocket"), "reset"},
		{with("transfer-encoding", "chunked"), "reset 400"},
		{with("x-a", strings.Repeat("b", 100<<10)), "431 reset closed"},
	} {
		if err := p.head(id, c.fields...); err != nil {
			p = w.h2peer("api.example.com")
			id = 1
			_ = p.head(id, c.fields...)
		}
		if got := p.answer(id); !strings.Contains(c.want, got) {
			t.Errorf("%.200q: %s, want %s", c.fields, got, c.want)
		} else if got == "closed" {
			p = w.h2peer("api.example.com")
			id = 1
			continue
		}
		id += 2
	}
	for _, e := range w.rec.of(belljar.EventRequest) {
		if !strings.HasPrefix(e.Path, "/v1/") || e.Method != "GET" || e.Status != 200 {
			t.Errorf("sent: %+v", e)
		}
	}
}

// TestRapidReset: a client that opens and resets streams as fast as it can is hung up
// on, and others are served meanwhile.
func TestRapidReset(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	var asked atomic.Int64
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/slow") {
			asked.Add(1)
			<-r.Context().Done()
		}
	})
	p := w.h2peer("api.example.com")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			if f, err := p.ReadFrame(); err != nil {
				return
			} else if _, ok := f.(*http2.GoAwayFrame); ok {
				return
			}
		}
	}()
	sent := 0
	for id := uint32(1); id < 12_000; id += 2 {
		err := p.head(id, ":method", "GET", ":scheme", "https", ":authority", "api.example.com", ":path", fmt.Sprintf("/v1/slow%d", id))
		if err == nil {
			err = p.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			break
		}
		if sent++; sent%1000 == 0 {
			if status, body := w.get(w.agent(true), "https://api.example.com/v1/x"); status != 200 {
				t.Fatalf("another client: %d %s", status, body)
			}
		}
	}
	t.Logf("%d streams were reset, %d requests went outside", sent, asked.Load())
	p.c.Close()
	<-closed
	if n := asked.Load(); n > int64(sent) {
		t.Errorf("%d requests outside for %d", n, sent)
	}
}

// TestStreamsAreBounded: what a connection may ask for at once has a bound, and what
// it has asked for ends with it.
func TestStreamsAreBounded(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	var asked, over atomic.Int64
	all := make(chan struct{})
	done := make(chan struct{})
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == httpproxy.MaxStreams {
			close(all)
		}
		<-r.Context().Done()
		if over.Add(1) == httpproxy.MaxStreams {
			close(done)
		}
	})
	p := w.h2peer("api.example.com")
	for i := range uint32(httpproxy.MaxStreams + 1) {
		if err := p.head(2*i+1, ":method", "GET", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/x"); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.answer(2*httpproxy.MaxStreams + 1); got != "reset" {
		t.Errorf("one more stream: %s", got)
	}
	<-all
	p.c.Close()
	<-done
	if n := asked.Load(); n != httpproxy.MaxStreams {
		t.Errorf("%d requests outside", n)
	}
}

// TestAnswersOfOneFrame: an answer without a body is one frame, as gRPC has it for
// errors: behind further frames its status would be taken for a header.
func TestAnswersOfOneFrame(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Grpc-Status", "5")
	})
	p := w.h2peer("api.example.com")
	if err := p.head(1, ":method", "POST", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/x"); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			if !h.StreamEnded() {
				t.Error("the answer goes on after its head")
			}
			return
		}
	}
}

// TestLinger: the reader of a connection that is over is left to whoever may still read from it.
func TestLinger(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	in := &inside{Conn: here, br: bufio.NewReader(nobodyReads{t})}
	done := make(chan struct{})
	go func() { defer close(done); defer here.Close(); in.linger() }()
	if _, err := there.Write([]byte("the rest")); err != nil {
		t.Error(err)
	}
	there.Close()
	<-done
}

type nobodyReads struct{ t *testing.T }

func (r nobodyReads) Read([]byte) (int, error) {
	r.t.Error("it was read from")
	return 0, io.EOF
}
