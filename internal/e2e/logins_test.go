package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A subscription is the providers' side of logins: the company's proxy of the test ends
// their TLS, gives tokens as the strictest of them would, and hands on to the scripted
// model what carries the one that is good.
type subscription struct {
	t     *testing.T
	ca    string // a file
	port  string
	model *httputil.ReverseProxy
	leaf  func(name string) *tls.Certificate

	mu       sync.Mutex
	n        int
	access   string
	refresh  string
	served   []string // "HOST METHOD PATH" of what carried the good token
	unknown  []string // that carried another one, or none
	tokens   int      // asked for
	requests []string // whole bodies of requests for tokens
	all      []string // every token that was ever good
	encoded  int      // requests to the model with a body that was compressed
	sockets  bool     // WebSockets are offered
}

func newSubscription(t *testing.T, w *world, modelPort string) *subscription {
	s := &subscription{t: t, sockets: true}
	s.model = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1:" + modelPort})
		r.Out.Header.Set("Authorization", "Bearer "+realKey) // what the model of these tests takes
	}}
	s.model.FlushInterval = -1
	s.model.ErrorLog = log.New(io.Discard, "", 0)
	s.rotate()
	s.certificates(w.home)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	srv := &http.Server{Handler: http.HandlerFunc(s.connect), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return s
}

// rotate makes the next pair.
func (s *subscription) rotate() {
	s.n++
	enc := base64.RawURLEncoding
	claims, err := json.Marshal(map[string]any{
		"exp": time.Now().Add(time.Hour).Unix(), "number": s.n, "https://api.openai.com/auth": map[string]any{"chatgpt_plan_type": "pro", "chatgpt_account_id": "account-1"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	signature := make([]byte, 128)
	_, _ = rand.Read(signature)
	s.access = enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims) + "." + enc.EncodeToString(signature)
	s.refresh = fmt.Sprintf("rt_REAL-REFRESH-%d-%s", s.n, rand.Text())
	s.all = append(s.all, enc.EncodeToString(signature), s.refresh)
}

func (s *subscription) certificates(dir string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.leaf = func(name string) *tls.Certificate {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		b, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
		if err != nil {
			return nil
		}
		return &tls.Certificate{Certificate: [][]byte{b}, PrivateKey: key}
	}
}

// connect is the company's proxy.
func (s *subscription) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	secure := tls.Server(c, &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.leaf(host), nil }})
	one := &oneListener{conn: secure, closed: make(chan struct{})}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.provider(w, r, host) })}
	srv.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateClosed || st == http.StateHijacked {
			one.end()
		}
	}
	_ = srv.Serve(one)
}

// oneListener accepts one connection.
type oneListener struct {
	conn   net.Conn
	given  bool
	once   sync.Once
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneListener) end()           { l.once.Do(func() { close(l.closed) }) }
func (l *oneListener) Close() error   { l.end(); return nil }
func (l *oneListener) Addr() net.Addr { return l.conn.LocalAddr() }

func (s *subscription) provider(w http.ResponseWriter, r *http.Request, host string) {
	if strings.HasSuffix(r.URL.Path, "/oauth/token") {
		s.token(w, r)
		return
	}
	s.mu.Lock()
	good := r.Header.Get("Authorization") == "Bearer "+s.access
	line := host + " " + r.Method + " " + r.URL.Path
	if good {
		s.served = append(s.served, line)
	} else {
		s.unknown = append(s.unknown, line)
	}
	if r.Header.Get("Content-Encoding") != "" {
		s.encoded++
	}
	offered := s.sockets
	s.mu.Unlock()
	if !offered && r.Header.Get("Upgrade") != "" {
		http.Error(w, "no WebSocket", http.StatusUpgradeRequired)
		return
	}
	if !good {
		http.Error(w, `{"type":"error","error":{"type":"authentication_error","message":"no"}}`, http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/backend-api/wham/accounts/check") {
		_, _ = io.WriteString(w, `{"accounts":[{"id":"account-1","plan_type":"pro","structure":"personal","workspace_backend_origin":"NO_CONSTRAINT","account_routing_override":"NO_CONSTRAINT"}],"default_account_id":"account-1","account_ordering":["account-1"]}`)
		return
	}
	s.model.ServeHTTP(w, r)
}

func (s *subscription) token(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var q struct {
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(b, &q)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens++
	s.requests = append(s.requests, string(b))
	if q.Refresh != s.refresh {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	s.rotate()
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.access, "refresh_token": s.refresh, "expires_in": 3600, "id_token": s.access})
}

// loginFiles writes the logins of the agents' own programs into home.
func (s *subscription) loginFiles(w *world, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := json.Marshal(map[string]any{"claudeAiOauth": map[string]any{
		"accessToken": s.access, "refreshToken": s.refresh, "expiresAt": expires.UnixMilli(), "scopes": []string{"user:inference", "user:profile"}, "subscriptionType": "max",
	}, "mcpOAuth": map[string]any{"x": homeSecret}})
	w.write(filepath.Join(w.home, ".claude/.credentials.json"), string(b))
	b, _ = json.Marshal(map[string]any{"auth_mode": "chatgpt", "OPENAI_API_KEY": nil, "last_refresh": time.Now().Format(time.RFC3339), "tokens": map[string]any{
		"id_token": s.access, "access_token": s.access, "refresh_token": s.refresh, "account_id": "account-1",
	}})
	w.write(filepath.Join(w.home, ".codex/auth.json"), string(b))
}

func (s *subscription) env() []string {
	proxy := "http://127.0.0.1:" + s.port
	return []string{"HTTPS_PROXY=" + proxy, "https_proxy=" + proxy, "SSL_CERT_FILE=" + s.ca, "NO_PROXY="}
}

// loginAgents are the real programs with a login and no key, as a user runs them.
func loginAgents() map[string][]string {
	return map[string][]string{
		"claude": {"claude", "-p", "go", "--dangerously-skip-permissions"},
		"codex":  {"codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go"},
		// Where no WebSocket is to be had it compresses its requests.
		"codex requests": {"codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go"},
	}
}

// TestLogins: the real programs work with the host's own login. The provider sees the
// real token, also where it had expired or is rotated meanwhile, nothing readable inside
// holds one, and no 401 reaches the agent.
func TestLogins(t *testing.T) {
	testenv.Need(t, "only-run")
	bin := agentPath(t)
	for name, command := range loginAgents() {
		t.Run(name, func(t *testing.T) {
			port := modelServer(t, "cat ~/.claude/.credentials.json ~/.codex/auth.json > inside.txt 2>/dev/null; env >> inside.txt; cat /proc/[0-9]*/environ >> inside.txt 2>/dev/null; grep -a -r -o 'REAL.REFRESH-[0-9]' ~ >> inside.txt; echo from-the-agent > change.txt")
			w := newWorld(t)
			s := newSubscription(t, w, port)
			s.loginFiles(w, time.Now().Add(time.Hour))
			w.env = append(w.env, s.env()...)
			w.env = append(w.env, "PATH="+bin+":"+os.Getenv("PATH"))
			s.sockets = !strings.Contains(name, "requests")
			run := func(flags ...string) string {
				t.Helper()
				ctx, cancel := context.WithTimeout(context.Background(), hangs)
				defer cancel()
				_ = os.Remove(filepath.Join(w.proj, "change.txt"))
				args := append(append([]string{"run", "--upstream-by-name"}, flags...), "--")
				out, err := w.cmd(ctx, append(args, command...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s\nserved %q\nunknown %q", err, out, s.served, s.unknown)
				}
				if got := w.read("change.txt"); got != "from-the-agent\n" {
					t.Errorf("change.txt: %q", got)
				}
				mustContain(t, "the end", string(out), " tokens spent (", "calls of models") // judged and counted
				return string(out)
			}
			run()
			if s.tokens != 0 || len(s.served) == 0 {
				t.Errorf("asked for tokens %d times, served %q", s.tokens, s.served)
			}
			// Expired: it is replaced before it is used.
			if name == "claude" {
				s.loginFiles(w, time.Now().Add(-time.Minute))
				out := run()
				mustContain(t, "the end", out, "CLAUDE_LOGIN to api.anthropic.com")
				if s.tokens != 1 {
					t.Errorf("asked for tokens %d times", s.tokens)
				}
			}
			// Revoked under our hands: the request is sent again with the next one.
			s.loginFiles(w, time.Now().Add(time.Hour))
			before := s.tokens
			s.mu.Lock()
			s.access = "nothing"
			s.mu.Unlock()
			run("--name", "kept")
			run("--name", "kept")
			if s.tokens != before+1 {
				t.Errorf("asked for tokens %d times", s.tokens-before)
			}
			for _, b := range s.requests {
				if !strings.Contains(b, "REAL-REFRESH") {
					t.Errorf("a stand-in reached the provider: %s", b)
				}
			}
			if s.encoded > 0 {
				t.Errorf("%d compressed bodies reached the provider", s.encoded)
			}
			inside := w.read("inside.txt")
			mustContain(t, "what is inside", inside, "access")
			mustLack(t, "what is inside", inside, homeSecret, "REAL-REFRESH")
			for _, f := range []string{".claude/.credentials.json", ".codex/auth.json"} { // the only place
				if err := os.Remove(filepath.Join(w.home, f)); err != nil {
					t.Error(err)
				}
			}
			for _, secret := range s.all {
				mustLack(t, "what is inside", inside, secret)
				w.nothingHolds(secret)
			}
		})
	}
}
