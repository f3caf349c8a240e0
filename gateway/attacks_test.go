package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// arrivals are the requests that a server saw whole.
type arrivals struct {
	mu  sync.Mutex
	all []string
}

func (a *arrivals) handle(_ http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.add(r.Method + " " + r.Host + r.RequestURI + " " + string(b))
}

func (a *arrivals) add(request string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, request)
}

func (a *arrivals) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// TestH2HeadAttacks: heads that another reader might read in another way reach nobody.
func TestH2HeadAttacks(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	var seen arrivals
	w.site("api.example.com", apiAddr, true, seen.handle)
	post := []string{":method", "POST", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/x"}
	with := func(fields ...string) []string { return append(append([]string{}, post...), fields...) }
	without := func(name string) (out []string) {
		for i := 0; i < len(post); i += 2 {
			if post[i] != name {
				out = append(out, post[i:i+2]...)
			}
		}
		return out
	}
	for _, fields := range [][]string{
		with(":path", "/v2/x"),
		with(":authority", "evil.example"),
		with(":method", "DELETE"),
		with(":status", "200"),
		with(":evil", "x"),
		with("x-a", "b", ":path", "/v1/y"),
		append([]string{"x-a", "b"}, post...),
		without(":path"),
		without(":method"),
		without(":scheme"),
		without(":authority"),
		append(without(":path"), ":path", ""),
		append(without(":path"), ":path", "*"),
		append(without(":path"), ":path", "/v1/x HTTP/1.1\r\nHost: evil.example"),
		append(without(":path"), ":path", "//evil.example/v1/x"),
		append(without(":path"), ":path", "/v1/..;/v2"),
		append(without(":path"), ":path", "/v1/%2e%2e/v2"),
		append(without(":authority"), ":authority", "api.example.com\x00"),
		append(without(":authority"), ":authority", "user@api.example.com"),
		append(without(":authority"), ":authority", "api.example.com:443:443"),
		append(without(":authority"), ":authority", "api.example.com, evil.example"),
		append(without(":authority"), "host", "evil.example"),
		append(without(":scheme"), ":scheme", "https://evil.example/?"),
		with("connection", "close"),
		with("connection", "x-a", "x-a", "b"),
		with("keep-alive", "1"),
		with("proxy-connection", "close"),
		with("upgrade", "h2c"),
		with("transfer-encoding", "chunked"),
		with("transfer_encoding", "chunked"),
		with("content_length", "5"),
		with("content.length", "5"),
		with("content-length", "5"), // and the stream ends
		with("content-length", "0", "content-length", "5"),
		with("content-length", "x"),
		with("te", "gzip"),
		with("X-Upper", "x"),
		with("x a", "b"),
		with("x-a:", "b"),
		with("x-a", "b\r\nhost: evil.example"),
		with("x-a", "b\x00"),
		with("", "b"),
		with("x-http-method-override", "DELETE"),
		with("x-original-url", "/v2/x"),
		with("x_rewrite_url", "/v2/x"),
	} {
		p := w.h2peer("api.example.com")
		if err := p.head(1, fields...); err != nil {
			t.Fatal(err)
		}
		got := p.answer(1)
		p.c.Close()
		if arrived := seen.take(); got == "200" || len(arrived) > 0 {
			t.Errorf("%q: answered %s, arrived %q", fields, got, arrived)
		}
	}
	p := w.h2peer("api.example.com")
	if err := p.head(1, post...); err != nil || p.answer(1) != "200" {
		t.Errorf("a good head: %v", err)
	}
	if arrived := seen.take(); len(arrived) != 1 {
		t.Errorf("arrived %q", arrived)
	}
}

// TestH2FrameAttacks: frames that no client sends end their connection, and others are
// served.
func TestH2FrameAttacks(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	var seen arrivals
	w.site("api.example.com", apiAddr, true, seen.handle)
	good := []string{":method", "POST", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/x"}
	raw := func(kind http2.FrameType, flags http2.Flags, id uint32, b string) func(*h2peer) {
		return func(p *h2peer) { _ = p.WriteRawFrame(kind, flags, id, []byte(b)) }
	}
	for name, attack := range map[string]func(*h2peer){
		"a head on stream 0":            raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, "\x82"),
		"a stream with an even number":  raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 2, "\x82"),
		"data of no stream":             raw(http2.FrameData, 0, 5, "x"),
		"data on stream 0":              raw(http2.FrameData, 0, 0, "x"),
		"a promise of the client":       raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, "\x00\x00\x00\x02\x82"),
		"a continuation of nothing":     raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, "\x82"),
		"a window of nothing":           raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00"),
		"a window that overflows":       raw(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"),
		"settings of a stream":          raw(http2.FrameSettings, 0, 1, ""),
		"settings of half a value":      raw(http2.FrameSettings, 0, 0, "\x00\x01\x00"),
		"a ping of 7 bytes":             raw(http2.FramePing, 0, 0, "1234567"),
		"a table that cannot be":        raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, "\x3f\xff\xff\xff\x7f"),
		"an entry that is not there":    raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, "\xff\xff\xff\x7f"),
		"padding that is all":           raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 1, "\xff\x82"),
		"a frame between continuations": func(p *h2peer) { raw(http2.FrameHeaders, 0, 1, "\x82")(p); raw(http2.FramePing, 0, 0, "12345678")(p) },
		"continuations without an end": func(p *h2peer) {
			raw(http2.FrameHeaders, 0, 1, "\x82")(p)
			for range 2000 {
				if p.WriteRawFrame(http2.FrameContinuation, 0, 1, []byte(strings.Repeat("\x00\x01a\x01b", 50))) != nil {
					return
				}
			}
		},
	} {
		p := w.h2peer("api.example.com")
		attack(p)
		if got := p.answer(1); got != "closed" && got != "reset" {
			t.Errorf("%s: %s", name, got)
		}
		p.c.Close()
		other := w.h2peer("api.example.com")
		if err := other.head(1, good...); err != nil || other.answer(1) != "200" {
			t.Fatalf("%s: others are not served", name)
		}
		other.c.Close()
		if arrived := seen.take(); len(arrived) != 1 || arrived[0] != "POST api.example.com/v1/x " {
			t.Errorf("%s: arrived %q", name, arrived)
		}
	}
}

// TestStandInInPieces: a stand-in that frames of HTTP/2 cut into letters is found, and the
// request does not end at another host.
func TestStandInInPieces(t *testing.T) {
	w, standIn := newKeyWorld(t)
	var seen arrivals
	for _, outer := range []bool{false, true} {
		w.site("other.example.com", map[bool]string{false: "93.184.216.35:443", true: "93.184.216.36:443"}[outer], outer, seen.handle)
	}
	for _, trailer := range []bool{false, true} {
		p := w.h2peer("other.example.com")
		p.buf.Reset()
		fields := []string{":method", "POST", ":scheme", "https", ":authority", "other.example.com", ":path", "/"}
		if trailer {
			fields = append(fields, "trailer", "x-t")
		}
		for i := 0; i < len(fields); i += 2 {
			_ = p.enc.WriteField(headerField(fields[i], fields[i+1]))
		}
		if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.buf.Bytes(), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if trailer {
			_ = p.WriteData(1, false, []byte("x"))
			p.buf.Reset()
			_ = p.enc.WriteField(headerField("x-t", standIn))
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.buf.Bytes(), EndHeaders: true, EndStream: true})
		} else {
			for i := range len(standIn) {
				_ = p.WriteDataPadded(1, i == len(standIn)-1, []byte{standIn[i]}, []byte{0})
			}
		}
		if got := p.answer(1); got == "200" {
			t.Errorf("trailer %v: %s", trailer, got)
		}
		p.c.Close()
	}
	if arrived := seen.take(); len(arrived) > 0 {
		t.Errorf("arrived %q", arrived)
	}
}

// TestRedirectsLeadNowhere: where an answer sends the client is judged as anything else.
func TestRedirectsLeadNowhere(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	var to atomic.Value
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/go" {
			http.Redirect(rw, r, to.Load().(string), http.StatusTemporaryRedirect)
		}
	})
	for _, next := range []string{
		"http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "https://10.0.0.1/", "http://127.0.0.1:22/", "http://0.0.0.0/", "http://localhost:22/",
		"https://api.example.com/v2/x", "https://evil.example/", "http://api.example.com/v1/x", "//evil.example/v1/x", "https://api.example.com:8443/v1/x", "https://read.example.com@evil.example/",
	} {
		to.Store(next)
		if status, got := w.get(w.client(true), "https://api.example.com/v1/go"); status == 200 {
			t.Errorf("%s: %d %s", next, status, got)
		}
	}
	for _, d := range w.dials() {
		if d != apiAddr {
			t.Errorf("dialled %s", d)
		}
	}
}

func headerField(name, value string) hpack.HeaderField {
	return hpack.HeaderField{Name: name, Value: value}
}
