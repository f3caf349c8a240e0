package gateway

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
)

const realKey = "sk-live-Zq8vT2mWx0PkD4rYh7LcNb5s"

// newKeyWorld is a world with one credential, $API_KEY, for api.example.com; the
// second value is its stand-in.
func newKeyWorld(t *testing.T, rules ...belljar.NetRule) (*secureWorld, string) {
	t.Helper()
	return newKeyWorldOf(t, nil, rules...)
}

// newKeyWorldOf is newKeyWorld with rules for models.
func newKeyWorldOf(t *testing.T, llm []belljar.LLMRule, rules ...belljar.NetRule) (*secureWorld, string) {
	t.Helper()
	creds := []belljar.Credential{{
		Name: "API_KEY", From: belljar.CredentialSource{Env: "API_KEY"}, Form: belljar.FormHeader, Header: "X-Api-Key",
		Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}, {Host: "api.example.com", Port: 80}, {Host: belljar.Localhost, Port: 3000}},
	}}
	creds, keys, err := credential.Make(t.Context(), creds, credential.Host{Env: []string{"API_KEY=" + realKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	n := belljar.Network{LLM: llm, Credentials: creds, Rules: append([]belljar.NetRule{
		rule("api.example.com", 443, 80), confined("other.example.com", 443, "GET POST", ""), rule(belljar.Localhost, 3000),
	}, rules...)}
	return newSecureWorld(t, n, func(o *Options) { o.Keys = keys }), creds[0].StandIn
}

func (w *secureWorld) ask(h2 bool, method, url, body string, header ...string) (int, http.Header, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := w.agent(h2).Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, resp.Header, err.Error()
	}
	return resp.StatusCode, resp.Header, string(b)
}

// TestKeysArePutIn: the server gets the key, the agent never does, whatever the server
// does with it.
func TestKeysArePutIn(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w, standIn := newKeyWorld(t)
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			got := r.Header.Get("X-Api-Key")
			if got != realKey {
				t.Errorf("the server got %q", got)
			}
			rw.Header().Set("Link", "<"+got+">")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Set("X-Echo", got)
			rw.Header().Set("Trailer", "X-Sum")
			if r.URL.Path == "/zip" {
				rw.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(rw)
				fmt.Fprint(z, "you sent ", got)
				z.Close()
			} else {
				fmt.Fprintf(rw, "you sent %s, that is %s", got[:9], base64.StdEncoding.EncodeToString([]byte(got)))
				_ = http.NewResponseController(rw).Flush()
				fmt.Fprint(rw, got)
				_ = http.NewResponseController(rw).Flush()
				fmt.Fprint(rw, got[:12])
				_ = http.NewResponseController(rw).Flush()
				fmt.Fprint(rw, got[12:])
			}
			rw.Header().Set("X-Sum", got)
		})
		for _, path := range []string{"/", "/zip"} {
			status, h, body := w.ask(inner, "POST", "https://api.example.com"+path, "hello", "X-Api-Key", standIn)
			all := fmt.Sprint(h, body)
			if status != 200 || strings.Contains(all, realKey) || strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(realKey))) || !strings.Contains(body, "you sent") {
				t.Errorf("%s: %d %s", path, status, all)
			}
		}
		if e := w.rec.wait(t, belljar.EventRequest, "api.example.com"); e.Credential != "API_KEY" || e.Status != 200 {
			t.Errorf("recorded: %+v", e)
		}
	})
}

func TestHopFieldsDoNotTakeKeysOut(t *testing.T) {
	w, standIn := newKeyWorld(t)
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Api-Key"); got != realKey {
			t.Errorf("the server got %q", got)
		}
	})
	got := w.say("api.example.com", "GET / HTTP/1.1\r\nHost: api.example.com\r\nX-Api-Key: "+standIn+"\r\nConnection: close, x-api-key, authorization\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("%q", got)
	}
}

// TestWhyThereIsNoKeyStaysOutside: neither the answer nor the record repeats what the
// command said, or names files.
func TestWhyThereIsNoKeyStaysOutside(t *testing.T) {
	creds, keys, err := credential.Make(t.Context(), []belljar.Credential{{
		Name: "API_KEY", From: belljar.CredentialSource{Command: []string{"/bin/sh", "-c", "echo printed; echo told >&2; exit 7"}},
		Form: belljar.FormHeader, Header: "X-Api-Key", Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
	}}, credential.Host{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	n := belljar.Network{Credentials: creds, Rules: []belljar.NetRule{rule("api.example.com", 443)}}
	w := newSecureWorld(t, n, func(o *Options) { o.Keys = keys })
	got := w.say("api.example.com", "GET / HTTP/1.1\r\nHost: api.example.com\r\nX-Api-Key: "+creds[0].StandIn+"\r\nConnection: close\r\n\r\n")
	e := w.rec.wait(t, belljar.EventRefuse, "api.example.com")
	if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "API_KEY has no value now") || e.Status != 503 {
		t.Errorf("answered %q, recorded %+v", got, e)
	}
	for _, said := range []string{"printed", "told", "exit", "/bin/sh"} {
		if strings.Contains(got+fmt.Sprint(e), said) {
			t.Errorf("%q: answered %q, recorded %+v", said, got, e)
		}
	}
}

// TestKeysStayWhereTheyBelong: refused, recorded, and nothing reached the server.
func TestKeysStayWhereTheyBelong(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		w, standIn := newKeyWorld(t)
		arrived := func(rw http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err == nil {
				t.Errorf("arrived: %s %s %s %q %q", r.Method, r.Host, r.RequestURI, r.Header, b)
			}
		}
		w.site("api.example.com", apiAddr, true, arrived)
		w.site("other.example.com", "93.184.216.35:443", true, arrived)
		w.http("", "93.184.216.34:80", false, arrived)
		for _, c := range []struct {
			url, body string
			header    []string
			want      string
		}{
			{"https://api.example.com/v1/files", "", []string{"X-Api-Key", "sk-attacker-0123456789abcdef0123"}, "not yours"},
			{"https://api.example.com/v1/files", "", []string{"Authorization", "Bearer attacker"}, "not yours"},
			{"https://other.example.com/", "", []string{"X-Any", standIn}, "API_KEY"},
			{"https://other.example.com/?k=" + standIn, "", nil, "API_KEY"},
			{"https://other.example.com/", "key: " + standIn + "!", nil, "API_KEY"},
			{"http://api.example.com/", "", []string{"X-Api-Key", standIn}, "TLS"},
		} {
			status, _, body := w.ask(h2, "POST", c.url, c.body, c.header...)
			if status != 403 || !strings.Contains(body, c.want) || strings.Contains(body, "No rule can allow") {
				t.Errorf("%s %q: %d %s", c.url, c.header, status, body)
			}
		}
		if e := w.rec.wait(t, belljar.EventRefuse, "other.example.com", "API_KEY"); e.Credential != "API_KEY" || e.Method != "POST" {
			t.Errorf("recorded: %+v", e)
		}
		for _, e := range append(w.rec.of(belljar.EventRefuse), w.rec.of(belljar.EventRequest)...) {
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, standIn) || strings.Contains(text, realKey) {
				t.Errorf("on record: %s", text)
			}
		}
	}
}

// TestKeysInWebSockets: the key is put into the handshake, and what comes back over the
// socket is searched for it.
func TestKeysInWebSockets(t *testing.T) {
	w, standIn := newKeyWorld(t)
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		got := r.Header.Get("X-Api-Key")
		c, br := switched(t, rw)
		if c == nil {
			return
		}
		defer c.Close()
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%d %s %s", len(got), got, l)
		}
	})
	c, err := w.tls("api.example.com", 443, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: api.example.com\r\nX-Api-Key: "+standIn+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	for range 3 {
		_, _ = io.WriteString(c, "hello\n")
		got, err := br.ReadString('\n')
		if err != nil || !strings.HasPrefix(got, fmt.Sprint(len(realKey))) || strings.Contains(got, realKey) || !strings.HasSuffix(got, "hello\n") {
			t.Fatal(got, err)
		}
	}
}

// TestKeysForLocalhost: a service of the host gets the key in clear.
func TestKeysForLocalhost(t *testing.T) {
	w, standIn := newKeyWorld(t)
	w.http("", "127.0.0.1:3000", false, func(rw http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Api-Key"); got != realKey {
			t.Errorf("the server got %q", got)
		}
		_, _ = io.WriteString(rw, "fine")
	})
	for _, host := range []string{"localhost:3000", "127.0.0.1:3000"} {
		got := w.talk(belljar.LocalhostIPv4.String(), 3000, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX-Api-Key: "+standIn+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "fine") {
			t.Errorf("%s: %q", host, got)
		}
	}
	// What listens there may hand on by name, and to whom is not ours to know.
	got := w.talk(belljar.LocalhostIPv4.String(), 3000, "GET / HTTP/1.1\r\nHost: other.localhost:3000\r\nX-Api-Key: "+standIn+"\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("another name of the loopback: %q", got)
	}
}

// TestPartsOfAnswers: the value comes in no pieces: not as ranges, not as what came before
// an answer broke off, not in the name of a header, not in the words for a broken head.
func TestPartsOfAnswers(t *testing.T) {
	half := realKey[:len(realKey)/2]
	seen := func(text string) bool {
		low := strings.ToLower(text)
		return strings.Contains(low, strings.ToLower(half[8:])) || strings.Contains(low, fmt.Sprintf("%x", realKey))
	}
	for name, answer := range map[string]http.HandlerFunc{
		"ranges": func(rw http.ResponseWriter, r *http.Request) {
			http.ServeContent(rw, r, "x.txt", time.Time{}, strings.NewReader("key: "+r.Header.Get("X-Api-Key")+"\n"))
		},
		"name": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()[fmt.Sprintf("x-%x", r.Header.Get("X-Api-Key"))] = []string{"1"}
		},
		"broken": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "key: "+r.Header.Get("X-Api-Key")[:31])
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		each(t, func(t *testing.T, inner, outer bool) {
			w, standIn := newKeyWorld(t)
			w.site("api.example.com", apiAddr, outer, answer)
			status, h, body := w.ask(inner, "GET", "https://api.example.com/", "", "X-Api-Key", standIn, "Range", "bytes=5-20,21-40")
			if text := fmt.Sprint(status, h, body); status != 200 || seen(text) {
				t.Errorf("%s: %s", name, text)
			}
		})
	}
	for pad := range 90 {
		w, standIn := newKeyWorld(t)
		leaf, err := w.outer.Leaf("api.example.com")
		if err != nil {
			t.Fatal(err)
		}
		w.raw("api.example.com", apiAddr, func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*leaf}})
			defer s.Close()
			if r, err := http.ReadRequest(bufio.NewReader(s)); err == nil {
				_, _ = fmt.Fprintf(s, "HTTP/1.1 200 ok\r\nContent-Length: %s%s\r\n\r\n", strings.Repeat("-", pad), r.Header.Get("X-Api-Key"))
			}
		})
		status, h, body := w.ask(false, "GET", "https://api.example.com/", "", "X-Api-Key", standIn)
		if text := fmt.Sprint(status, h, body, w.rec.of(belljar.EventRequest)); status != 502 || strings.Contains(text, realKey[:9]) {
			t.Errorf("a broken head: %s", text)
		}
	}
}
