package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// honest answers every request with its path, and the number of its connection.
func honest(n int, c *peer) {
	for path := c.read(); path != ""; path = c.read() {
		text := answer(strings.Repeat("+", n) + path)
		if c.head {
			text, _, _ = strings.Cut(text, strings.Repeat("+", n)+path)
		}
		c.say(text)
	}
}

// TestUsedAgain: one connection carries one request after the other.
func TestUsedAgain(t *testing.T) {
	s := serve(t, nil, honest)
	c := s.client()
	s.want(c, "GET", "/a", "/a")
	s.want(c, "DELETE", "/b", "/b")
	if got, err := s.get(c, "HEAD", "/c"); err != nil || got != "" {
		t.Fatalf("%q %v", got, err)
	}
	s.want(c, "OPTIONS", "/d", "/d")
}

// TestNotUsedAgain: behind an answer that does not end where it says, or on a connection of
// which anything is left, the next request is sent on another.
func TestNotUsedAgain(t *testing.T) {
	stolen := answer("stolen")
	for name, first := range map[string]func(c *peer){
		"two answers in a record": func(c *peer) { c.say(answer("/a") + stolen) },
		"two answers in a write":  func(c *peer) { c.together(answer("/a"), stolen) },
		"a part of a second":      func(c *peer) { c.together(answer("/a"), "H") },
		"a part of a record":      func(c *peer) { c.cut(answer("/a"), stolen, 3) },
		"most of a record":        func(c *peer) { c.cut(answer("/a"), stolen, 20) },
		"close":                   func(c *peer) { c.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/a") },
		"HTTP/1.0":                func(c *peer) { c.say("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n/a") },
		"an end in the record":    func(c *peer) { c.ended(answer("/a")) },
		"behind the chunks": func(c *peer) {
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\n\r\n" + stolen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, func(n int, c *peer) {
				if n > 0 {
					honest(0, c)
					return
				}
				c.read()
				first(c)
				c.rest()
			})
			c := s.client()
			s.want(c, "GET", "/a", "/a")
			if waiting(c) != 0 {
				t.Error("the connection is kept")
			}
			s.want(c, "DELETE", "/b", "/b")
		})
	}
}

// waiting is how many connections are kept.
func waiting(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

// together writes records of TLS in one piece.
func (p *peer) together(texts ...string) {
	c, raw := p.collected()
	for _, s := range texts {
		_, _ = io.WriteString(c, s)
	}
	_, _ = raw.Conn.Write(raw.take())
}

// cut writes a record whole, and of another one n bytes.
func (p *peer) cut(whole, part string, n int) {
	c, raw := p.collected()
	_, _ = io.WriteString(c, whole)
	first := raw.take()
	_, _ = io.WriteString(c, part)
	_, _ = raw.Conn.Write(append(first, raw.take()[:n]...))
}

// ended writes a record and the end of TLS in one piece.
func (p *peer) ended(text string) {
	c, raw := p.collected()
	_, _ = io.WriteString(c, text)
	_ = c.CloseWrite()
	_ = raw.SetWriteDeadline(time.Time{}) // which is past now
	_, _ = raw.Conn.Write(raw.take())
}

// collected is the connection, and what is written to it in place of the network.
func (p *peer) collected() (*tls.Conn, *collector) {
	w := p.Conn.NetConn().(*collector)
	w.on = true
	return p.Conn, w
}

// TestLateAnswers: what arrives while nobody waits for it is no answer to the next request.
func TestLateAnswers(t *testing.T) {
	for name, late := range map[string]func(c *peer){
		"an answer": func(c *peer) { c.say(answer("stolen")) },
		"an end":    func(c *peer) { _ = c.Close() },
		"a reset":   func(c *peer) { _ = c.raw.(*collector).Conn.(*net.TCPConn).SetLinger(0); _ = c.raw.Close() },
		"408":       func(c *peer) { c.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			said, go_ := make(chan struct{}), make(chan struct{})
			s := serve(t, nil, func(n int, c *peer) {
				if n > 0 {
					honest(0, c)
					return
				}
				c.read()
				c.say(answer("/a"))
				<-go_
				late(c)
				close(said)
				c.rest()
			})
			c := s.client()
			s.want(c, "GET", "/a", "/a")
			close(go_)
			<-said
			s.arrived(c)
			s.want(c, "DELETE", "/b", "/b") // which is not repeated
		})
	}
}

// arrived waits until something has arrived at the connection that waits.
func (s *server) arrived(c *Client) {
	c.mu.Lock()
	pc := c.idle[s.hostport()][0]
	c.mu.Unlock()
	for end := time.Now().Add(hangs); pc.quiet(); {
		if time.Now().After(end) {
			s.t.Fatal("nothing arrives")
		}
	}
}

// TestRepeated: a request that a connection which had waited did not answer is sent once
// more, where it changes nothing, and is not where it may have been acted upon.
func TestRepeated(t *testing.T) {
	for _, c := range []struct {
		method, key, says string
		again             bool
	}{
		{method: "GET", again: true}, {method: "HEAD", again: true}, {method: "OPTIONS", again: true},
		{method: "DELETE"}, {method: "DELETE", key: "Idempotency-Key", again: true}, {method: "DELETE", key: "X-Idempotency-Key", again: true},
		{method: "GET", says: "H"}, {method: "GET", says: "HTTP/1.1 200 OK\r\n"},
		{method: "GET", says: "HTTP/1.1 103 Early Hints\r\n\r\n"},
	} {
		s := serve(t, nil, func(n int, p *peer) {
			if n > 0 {
				honest(0, p)
				return
			}
			p.read()
			p.say(answer("/a"))
			p.read()
			p.say(c.says)
		})
		client := s.client()
		s.want(client, "GET", "/a", "/a")
		r := s.request(t.Context(), c.method, "/b")
		if c.key != "" {
			r.Header.Set(c.key, "1")
		}
		resp, err := client.RoundTrip(r, untold)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != c.again {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestNotRepeatedWhenNew: a connection that never answered is not tried again.
func TestNotRepeatedWhenNew(t *testing.T) {
	s := serve(t, nil, func(n int, c *peer) {
		if c.read(); n > 0 {
			t.Error("asked twice")
		}
	})
	if got, err := s.get(s.client(), "GET", "/a"); err == nil {
		t.Errorf("%q", got)
	}
}

// TestCancelled: a request that nobody waits for ends at once, and its connection with it.
func TestCancelled(t *testing.T) {
	for name, says := range map[string]string{
		"before the answer": "", "in its header": "HTTP/1.1 200 OK\r\n", "in an interim one": "HTTP/1.1 103 Early Hints\r\n\r\n",
		"in its body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan struct{})
			s := serve(t, nil, func(_ int, c *peer) {
				c.read()
				c.say(says)
				if !strings.HasSuffix(says, "hello") {
					cancel(errTest)
				}
				c.rest()
				close(ended)
			})
			resp, err := s.client().RoundTrip(s.request(ctx, "GET", "/a"), untold)
			if err == nil {
				b := make([]byte, 5)
				if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "hello" {
					t.Fatalf("%q %v", b, err)
				}
				cancel(errTest)
				_, err = resp.Body.Read(b)
				if !errors.Is(err, errTest) {
					t.Errorf("the body ends with %v", err)
				}
				resp.Body.Close()
			} else if !errors.Is(err, errTest) {
				t.Error(err)
			}
			<-ended
		})
	}
}

// TestClosedEarly: an answer that is not read to its end takes its connection with it.
func TestClosedEarly(t *testing.T) {
	ended := make(chan struct{})
	s := serve(t, nil, func(n int, c *peer) {
		if n > 0 {
			honest(0, c)
			return
		}
		c.read()
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
		c.rest()
		close(ended)
	})
	c := s.client()
	resp, err := c.RoundTrip(s.request(t.Context(), "GET", "/a"), untold)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n, err := resp.Body.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("it can still be read")
	}
	<-ended
	s.want(c, "GET", "/b", "/b")
}

// TestStreams: what a server says is read when it says it, before the answer ends.
func TestStreams(t *testing.T) {
	next := make(chan struct{})
	s := serve(t, nil, func(_ int, c *peer) {
		c.read()
		c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			<-next
			c.say("8\r\ndata: x\n\r\n")
		}
		<-next
		c.say("0\r\n\r\n")
		c.rest()
	})
	resp, err := s.client().RoundTrip(s.request(t.Context(), "GET", "/a"), untold)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 100)
	for range 3 {
		next <- struct{}{}
		if n, err := io.ReadFull(resp.Body, b[:8]); n != 8 || err != nil {
			t.Fatal(n, err)
		}
	}
	next <- struct{}{}
	if n, err := resp.Body.Read(b); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

// TestInterim: interim answers are told of in their order, and there are not many.
func TestInterim(t *testing.T) {
	var told []int
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		told = append(told, code)
		if h.Get("X-No") != "" {
			return errTest
		}
		return nil
	}}
	s := serve(t, nil, func(_ int, c *peer) {
		switch c.read() {
		case "/two":
			c.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + answer("x"))
		case "/no":
			c.say("HTTP/1.1 103 Early Hints\r\nX-No: x\r\n\r\n" + answer("x"))
		case "/flood":
			for {
				if _, err := io.WriteString(c.Conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
					return
				}
			}
		}
		c.rest()
	})
	c := s.client()
	resp, err := c.RoundTrip(s.request(t.Context(), "GET", "/two"), trace)
	if err != nil || len(told) != 2 || told[0] != 103 || told[1] != 102 {
		t.Fatal(told, err)
	}
	resp.Body.Close()
	if _, err := c.RoundTrip(s.request(t.Context(), "GET", "/no"), trace); !errors.Is(err, errTest) {
		t.Error(err)
	}
	for _, trace := range []*httptrace.ClientTrace{trace, untold} {
		if _, err := c.RoundTrip(s.request(t.Context(), "GET", "/flood"), trace); err == nil || !strings.Contains(err.Error(), "interim") {
			t.Error(err)
		}
	}
}

// TestBounds: no more connections wait than may, and none for longer than it may.
func TestBounds(t *testing.T) {
	ended := make(chan int, 10)
	s := serve(t, nil, func(n int, c *peer) { honest(0, c); ended <- n })
	c := s.client(func(o *Options) { o.IdlePerHost = 2 })
	var all []*http.Response
	for range 3 {
		resp, err := c.RoundTrip(s.request(t.Context(), "GET", "/a"), untold)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, resp)
	}
	for _, resp := range all {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if n := <-ended; n != 2 || waiting(c) != 2 {
		t.Error("connection", n, "has ended, kept are", waiting(c))
	}
	c.mu.Lock()
	c.o.IdlePerHost, c.o.IdleAll = 4, 2
	c.mu.Unlock()
	pc := c.take(s.hostport()) // the second
	resp, err := c.RoundTrip(s.request(t.Context(), "GET", "/a"), untold)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // on the first
	resp, err = c.RoundTrip(s.request(t.Context(), "GET", "/a"), untold)
	if err != nil {
		t.Fatal(err)
	}
	c.put(pc)
	if n := waiting(c); n != 1 {
		t.Error("kept are", n)
	}
	resp.Body.Close()
	c.CloseIdle()
	for range 2 {
		<-ended
	}

	short := s.client(func(o *Options) { o.Idle = 20 * time.Millisecond })
	s.want(short, "GET", "/a", "/a")
	<-ended // by nobody's asking
	short.mu.Lock()
	defer short.mu.Unlock()
	if short.kept != 0 || short.sweep != nil {
		t.Error("kept are", short.kept)
	}
}

// TestOtherProtocol: a server that has learned HTTP/2 is left to the transport, with nothing sent.
func TestOtherProtocol(t *testing.T) {
	s := serve(t, []string{"h2"}, func(_ int, c *peer) {
		if b, _ := io.ReadAll(c.Conn); len(b) > 0 {
			t.Errorf("%q was sent", b)
		}
	})
	c := s.client()
	if _, err := s.get(c, "GET", "/"); err != ErrOther {
		t.Error(err)
	}
	if c.Takes(s.request(t.Context(), "GET", "/")) {
		t.Error("it is taken still")
	}
}

// TestCertificate: nothing is sent to a server that is not verified.
func TestCertificate(t *testing.T) {
	s := serve(t, nil, func(_ int, c *peer) {
		if b, _ := io.ReadAll(c.Conn); len(b) > 0 {
			t.Errorf("%q was sent", b)
		}
	})
	var bad *tls.CertificateVerificationError
	if _, err := s.get(s.client(func(o *Options) { o.TLS = &tls.Config{} }), "GET", "/"); !errors.As(err, &bad) {
		t.Error(err)
	}
	r := s.request(t.Context(), "GET", "/")
	r.URL.Host = strings.Replace(r.URL.Host, host, "other.net", 1)
	if _, err := s.client().RoundTrip(r, untold); !errors.As(err, &bad) {
		t.Error(err)
	}
}

// TestUnaskable: a connection that cannot be asked whether it may be used again is not, and its host is
// left to the transport.
func TestUnaskable(t *testing.T) {
	s := serve(t, nil, honest)
	c := s.client(func(o *Options) {
		dial := o.Dial
		o.Dial = func(ctx context.Context, a string) (net.Conn, error) {
			c, err := dial(ctx, a)
			return struct{ net.Conn }{c}, err
		}
	})
	s.want(c, "GET", "/a", "/a")
	c.Learn(s.hostport(), &http.Response{ProtoMajor: 1, TLS: &tls.ConnectionState{}})
	if waiting(c) != 0 || c.Takes(s.request(t.Context(), "GET", "/")) {
		t.Error("it is used again")
	}
}

// TestTakes: what is more than a plain request is for the transport.
func TestTakes(t *testing.T) {
	s := serve(t, nil, honest)
	c := s.client()
	for name, change := range map[string]func(r *http.Request){
		"a body":        func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 },
		"chunks":        func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1 },
		"a coding":      func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
		"trailers":      func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"POST":          func(r *http.Request) { r.Method = "POST" },
		"CONNECT":       func(r *http.Request) { r.Method = "CONNECT" },
		"an odd method": func(r *http.Request) { r.Method = "G\r\nET" },
		"an upgrade":    func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"Connection":    func(r *http.Request) { r.Header.Set("Connection", "x") },
		"Expect":        func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"framing":       func(r *http.Request) { r.Header.Set("Transfer-Encoding", "chunked") },
		"a length":      func(r *http.Request) { r.Header.Set("Content-Length", "5") },
		"close":         func(r *http.Request) { r.Close = true },
		"in clear":      func(r *http.Request) { r.URL.Scheme = "http" },
		"another port":  func(r *http.Request) { r.URL.Host = host + ":1" },
		"a split value": func(r *http.Request) { r.Header["X"] = []string{"a\r\nB: c"} },
		"a split name":  func(r *http.Request) { r.Header["X: a\r\nB"] = []string{"c"} },
		"a long one":    func(r *http.Request) { r.Header.Set("X", strings.Repeat("x", maxRequest)) },
	} {
		r := s.request(t.Context(), "GET", "/")
		if change(r); c.Takes(r) {
			t.Errorf("%s is taken", name)
		}
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE"} {
		if !c.Takes(s.request(t.Context(), method, "/")) {
			t.Errorf("%s is not taken", method)
		}
	}
}

// TestSent: the bytes that are sent are those of the transport.
func TestSent(t *testing.T) {
	got := make(chan string, 2)
	s := serve(t, nil, func(_ int, c *peer) {
		var b strings.Builder
		for {
			line, err := c.br.ReadString('\n')
			b.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		got <- b.String()
		c.say(answer(""))
		c.rest()
	})
	r := s.request(t.Context(), "DELETE", "/a%2fb?c=d&e")
	r.Host = "Example.com:443"
	r.Header = http.Header{"User-Agent": nil, "X-B": {"1", "2"}, "Te": {"trailers"}, "Cookie": {"a=b"}}
	for _, rt := range []func(*http.Request) (*http.Response, error){
		func(r *http.Request) (*http.Response, error) { return s.client().RoundTrip(r, untold) }, s.transport().RoundTrip,
	} {
		resp, err := rt(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if ours, theirs := <-got, <-got; ours != theirs || !strings.HasPrefix(ours, "DELETE /a%2fb?c=d&e HTTP/1.1\r\n") {
		t.Errorf("%q, and the transport %q", ours, theirs)
	}
}

// TestWhole: a wire knows where records end, however they arrive.
func TestWhole(t *testing.T) {
	text := "\x17\x03\x03\x00\x02ab\x17\x03\x03\x00\x00\x17\x03\x03\x01\x00" + strings.Repeat("x", 256)
	ends := map[int]bool{0: true, 7: true, 12: true, len(text): true}
	for step := 1; step < 9; step++ {
		w := &wire{}
		for at := 0; at < len(text); {
			n := min(step, len(text)-at)
			w.follow([]byte(text[at : at+n]))
			if at += n; w.whole() != ends[at] {
				t.Errorf("in steps of %d, behind %d bytes: %v", step, at, w.whole())
			}
		}
	}
}

// A collector keeps what is written to it, once it is on.
type collector struct {
	net.Conn
	on  bool
	buf []byte
}

func (c *collector) Write(b []byte) (int, error) {
	if !c.on {
		return c.Conn.Write(b)
	}
	c.buf = append(c.buf, b...)
	return len(b), nil
}

func (c *collector) take() []byte {
	b := c.buf
	c.on, c.buf = true, nil
	return b
}
