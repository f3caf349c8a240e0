package httpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// body lets the transport read a request's body, answers "100 Continue" when it
// begins to, and tells when nobody reads any more.
type body struct {
	io.ReadCloser
	interim func() error
	trailer func()      // told when the body was read to its end
	ended   atomic.Bool // read to its end
	mu      sync.Mutex  // held while reading
	done    bool        // guarded by mu
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, errors.New("request body is closed")
	}
	if b.interim != nil {
		if err := b.interim(); err != nil {
			return 0, err
		}
		b.interim = nil
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.ended.Load() {
		b.trailer()
		b.ended.Store(true)
	}
	return n, err
}

// Close does not read the rest: session.settle decides about it.
func (b *body) Close() error { return nil }

// stop ends reading and says whether the body was read to its end.
func (b *body) stop(c net.Conn) bool {
	if !b.mu.TryLock() {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // somebody still waits for the client
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.done = true
	return b.ended.Load()
}

// abandon ends reading without waiting for a client that is silent.
func (b *body) abandon() {
	_ = b.ReadCloser.Close()
	b.mu.Lock()
	b.done = true
	b.mu.Unlock()
}

// outgoing makes the request that is sent of one that was judged. The body is nil
// when there is none; it calls proceed before it is read when the client waits for that.
func outgoing(ctx context.Context, req *http.Request, proceed func() error) (*http.Request, *body) {
	out := req.WithContext(ctx)
	out.RequestURI, out.Close, out.Trailer = "", false, nil
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 {
		out.Body = nil
		req.Header.Del("Expect")
		return out, nil
	}
	b := &body{ReadCloser: req.Body, trailer: func() {}}
	out.Body = b
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") && len(req.Header["Expect"]) == 1 {
		b.interim = proceed
	} else {
		req.Header.Del("Expect")
	}
	if announced := trailerNames(req.Trailer); len(announced) > 0 {
		out.Trailer = announced
		b.trailer = func() {
			for name := range announced {
				announced[name] = req.Trailer[name]
			}
		}
	}
	return out, b
}

// trailerNames are the announced trailers that may pass: none that says for whom, how
// or by whom a request is (RFC 9110, section 6.5.1).
func trailerNames(h http.Header) http.Header {
	var names http.Header
	for name := range h {
		switch name {
		case "Host", "Authorization", "Proxy-Authorization", "Cookie", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range",
			"Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Keep-Alive":
			continue
		}
		if likeFraming(name) {
			continue
		}
		if names == nil {
			names = make(http.Header)
		}
		names[name] = nil
	}
	return names
}

// hopFields belong to one connection.
var hopFields = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// prepare removes what belongs to the hop from inside. What asks for a WebSocket
// stays, and so does that trailers are understood.
func prepare(req *http.Request) {
	upgrade := hasToken(req.Header, "Connection", "upgrade") && strings.EqualFold(req.Header.Get("Upgrade"), "websocket") &&
		req.ProtoMajor == 1 && req.Method == http.MethodGet && req.ContentLength == 0 // RFC 6455: a GET, without a body
	trailers := hasToken(req.Header, "Te", "trailers")
	removeHop(req.Header)
	if upgrade {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	if trailers {
		req.Header.Set("Te", "trailers")
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // none, instead of the transport's own
	}
}

func removeHop(h http.Header) {
	for _, f := range h["Connection"] {
		for name := range strings.SplitSeq(f, ",") {
			if name = strings.TrimSpace(name); name != "" && !strings.EqualFold(name, "host") {
				h.Del(name)
			}
		}
	}
	for _, f := range hopFields {
		h.Del(f)
	}
}

func hasToken(h http.Header, field, token string) bool {
	for _, f := range h[http.CanonicalHeaderKey(field)] {
		for t := range strings.SplitSeq(f, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
