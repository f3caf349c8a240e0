package credential

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

var (
	anthropic = belljar.Credential{
		Name: "ANTHROPIC_API_KEY", From: belljar.CredentialSource{Env: "A"}, Form: belljar.FormHeader, Header: "X-Api-Key",
		Hosts: []belljar.BoundHost{{Host: "api.anthropic.com", Port: 443}}, Paths: []string{"/v1/messages*"},
	}
	oauth = belljar.Credential{
		Name: "CLAUDE_CODE_OAUTH_TOKEN", From: belljar.CredentialSource{Env: "O"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.anthropic.com", Port: 443}},
	}
	github = belljar.Credential{
		Name: "GITHUB_TOKEN", From: belljar.CredentialSource{Env: "G"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.github.com", Port: 443}}, Methods: []string{"GET"},
	}
	gitHTTP = belljar.Credential{
		Name: "GIT_TOKEN", From: belljar.CredentialSource{Env: "G2"}, Form: belljar.FormBasic, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "github.com", Port: 443}},
	}
	jira = belljar.Credential{
		Name: "JIRA", From: belljar.CredentialSource{Env: "J"}, Form: belljar.FormBasic, Header: "Authorization", User: testUser,
		Hosts: []belljar.BoundHost{{Host: "jira.example", Port: 443}},
	}
	gemini = belljar.Credential{
		Name: "GEMINI_API_KEY", From: belljar.CredentialSource{Env: "K"}, Form: belljar.FormHeader, Header: "X-Goog-Api-Key",
		Hosts: []belljar.BoundHost{{Host: "*.googleapis.com", Port: 443}},
	}
	unset = belljar.Credential{
		Name: "UNSET", From: belljar.CredentialSource{Env: "NOPE"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "unset.example", Port: 443}},
	}
	local = belljar.Credential{
		Name: "SONAR", From: belljar.CredentialSource{Env: "S"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: belljar.Localhost, Port: 9000}},
	}
)

func allCredentials() []belljar.Credential {
	return []belljar.Credential{anthropic, oauth, github, gitHTTP, jira, gemini, unset, local}
}

func realValues() map[string]string {
	return map[string]string{
		"A": testKey, "O": "sk-ant-oat01-" + strings.Repeat("qW3eR5tY7u", 9) + "AA", "G": "ghp_R4ndomValueOfGitHubTokenAbc0x1y2z3", "G2": "gho_An0therValueOfGitHubTokenXyz9q8w7e",
		"J": "ATATT3xFfGF0-jira-value-0123456789abcd", "K": "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "S": "squ_0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
	}
}

type sandboxed struct {
	keys *Keys
	in   map[string]string // stand-ins by name of the credential
	real map[string]string
}

func newSandboxed(t testing.TB) *sandboxed {
	t.Helper()
	s := &sandboxed{in: map[string]string{}, real: map[string]string{}}
	var env []string
	values := realValues()
	for n, v := range values {
		env = append(env, n+"="+v)
	}
	keys, made := makeKeys(t, allCredentials(), env...)
	s.keys = keys
	for _, c := range made {
		s.in[c.Name], s.real[c.Name] = c.StandIn, values[c.From.Env]
	}
	return s
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// request makes a request from "METHOD https://host/path?query" and headers.
func request(line string, headers ...string) *Request {
	method, rawURL, _ := strings.Cut(line, " ")
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err)
	}
	r := &Request{Host: u.Hostname(), Port: 443, Secure: u.Scheme == "https", Method: method, Path: u.Path, Header: http.Header{}}
	if u.Port() == "9000" {
		r.Port = 9000
	} else if u.Scheme == "http" {
		r.Port = 80
	}
	_, rest, _ := strings.Cut(rawURL, "://")
	r.URI = rest[strings.Index(rest, "/"):]
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return r
}

// An outgoingCase is one request and what becomes of it.
type outgoingCase struct {
	name    string
	r       *Request
	refuse  string   // part of the reason; "" when it is sent
	want    string   // header: value that is sent
	absent  string   // header that is not sent
	leaks   []string // credential@where, "!" when refused
	inject  string
	failure int
}

// inPlace: stand-ins in their places, and nothing there.
func inPlace(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "stand-in in its place", r: request("POST https://api.anthropic.com/v1/messages?beta=true", "X-Api-Key: "+in["ANTHROPIC_API_KEY"]), want: "X-Api-Key: " + real["ANTHROPIC_API_KEY"], inject: "ANTHROPIC_API_KEY"},
		{name: "header in lower case", r: request("POST https://api.anthropic.com/v1/messages", "x-api-key: "+in["ANTHROPIC_API_KEY"]), want: "X-Api-Key: " + real["ANTHROPIC_API_KEY"], inject: "ANTHROPIC_API_KEY"},
		{name: "bearer", r: request("POST https://api.anthropic.com/v1/messages", "Authorization: Bearer "+in["CLAUDE_CODE_OAUTH_TOKEN"]), want: "Authorization: Bearer " + real["CLAUDE_CODE_OAUTH_TOKEN"], absent: "X-Api-Key", inject: "CLAUDE_CODE_OAUTH_TOKEN"},
		{name: "absent: the first", r: request("POST https://api.anthropic.com/v1/messages"), want: "X-Api-Key: " + real["ANTHROPIC_API_KEY"], absent: "Authorization", inject: "ANTHROPIC_API_KEY"},
		{name: "empty is absent", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "), want: "X-Api-Key: " + real["ANTHROPIC_API_KEY"], inject: "ANTHROPIC_API_KEY"},
		{name: "path not bound", r: request("POST https://api.anthropic.com/api/event_logging", "X-Api-Key: "+in["ANTHROPIC_API_KEY"], "Authorization: Bearer "+in["CLAUDE_CODE_OAUTH_TOKEN"]), want: "X-Api-Key: " + in["ANTHROPIC_API_KEY"], inject: "CLAUDE_CODE_OAUTH_TOKEN"},
		{name: "path not bound, the other absent", r: request("POST https://api.anthropic.com/api/event_logging", "X-Api-Key: "+in["ANTHROPIC_API_KEY"]), want: "X-Api-Key: " + in["ANTHROPIC_API_KEY"], absent: "Authorization"},
		{name: "method not bound", r: request("POST https://api.github.com/repos/a/b/pulls", "Authorization: Bearer "+in["GITHUB_TOKEN"]), want: "Authorization: Bearer " + in["GITHUB_TOKEN"]},
		{name: "HEAD where GET", r: request("HEAD https://api.github.com/", "Authorization: token "+in["GITHUB_TOKEN"]), want: "Authorization: Bearer " + real["GITHUB_TOKEN"], inject: "GITHUB_TOKEN"},
	}
}

// foreign: credentials that are not the sandbox's.
func foreign(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "attacker's key", r: request("POST https://api.anthropic.com/v1/files", "X-Api-Key: sk-ant-api03-ATTACKER"), refuse: "not yours"},
		{name: "attacker's key where injected", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: sk-ant-api03-ATTACKER"), refuse: "not yours"},
		{name: "attacker's bearer beside", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "+in["ANTHROPIC_API_KEY"], "Authorization: Bearer ATTACKER"), refuse: "not yours"},
		{name: "two values", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "+in["ANTHROPIC_API_KEY"], "X-Api-Key: sk-ant-ATTACKER"), refuse: "2 times"},
		{name: "two spellings", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "+in["ANTHROPIC_API_KEY"], "x-api-key: sk-ant-ATTACKER"), refuse: "2 times"},
		{name: "two in one", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "+in["ANTHROPIC_API_KEY"]+", sk-ant-ATTACKER"), refuse: "not yours"},
		{name: "underscores", r: request("POST https://api.anthropic.com/v1/messages", "X_Api_Key: sk-ant-ATTACKER"), refuse: "not yours"},
		{name: "a real key", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: "+real["ANTHROPIC_API_KEY"]), refuse: "not yours"},
		{name: "attacker's in the query", r: request("GET https://api.github.com/user?access_token=ATTACKER"), refuse: "not yours"},
		{name: "encoded name in the query", r: request("GET https://api.github.com/user?%61ccess%5Ftoken=ATTACKER"), refuse: "not yours"},
		{name: "attacker's in the path", r: request("GET https://api.github.com/user;access_token=ATTACKER/x"), refuse: "not yours"},
		{name: "signed for another account", r: request("GET https://storage.googleapis.com/x?X-Goog-Credential=a&X-Goog-Signature=b"), refuse: "not yours"},
		{name: "Google's key", r: request("POST https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?key=AIzaATTACKER"), refuse: "not yours"},
		{name: "key elsewhere", r: request("GET https://api.github.com/repos/a/b/actions/caches?key=x"), want: "Authorization: Bearer " + real["GITHUB_TOKEN"], inject: "GITHUB_TOKEN"},
		{name: "sub-protocol", r: request("GET https://api.anthropic.com/v1/messages", "Sec-Websocket-Protocol: realtime, openai-insecure-api-key.ATTACKER"), refuse: "not yours"},
		{name: "cookie", r: request("GET https://api.github.com/", "Cookie: user_session=ATTACKER; __cf_bm=x"), want: "Cookie: __cf_bm=x", inject: "GITHUB_TOKEN"},
		{name: "cookies", r: request("GET https://api.github.com/", "Cookie: user_session=ATTACKER"), absent: "Cookie", inject: "GITHUB_TOKEN"},
		{name: "no cookie of a session of MCP", r: request("GET https://api.github.com/", "Mcp-Session-Id: 4711", "Idempotency-Key: 1", "X-Csrf-Token: 2"), want: "Mcp-Session-Id: 4711", inject: "GITHUB_TOKEN"},
		{name: "the proxy's", r: request("GET https://api.github.com/", "Proxy-Authorization: Basic x"), absent: "Proxy-Authorization", inject: "GITHUB_TOKEN"},
		{name: "override", r: request("GET https://api.github.com/", "X-Http-Method-Override: DELETE", "X-Original-Url: /admin"), absent: "X-Http-Method-Override", inject: "GITHUB_TOKEN"},
	}
}

// basicForms: basic authentication.
func basicForms(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "git", r: request("GET https://github.com/acme/widget.git/info/refs?service=git-upload-pack", "Authorization: Basic "+b64("anything:"+in["GIT_TOKEN"])), want: "Authorization: Basic " + b64("anything:"+real["GIT_TOKEN"]), inject: "GIT_TOKEN"},
		{name: "git without", r: request("GET https://github.com/acme/widget.git/info/refs"), want: "Authorization: Basic " + b64("x-access-token:"+real["GIT_TOKEN"]), inject: "GIT_TOKEN"},
		{name: "token as user", r: request("GET https://github.com/", "Authorization: Basic "+b64(in["GIT_TOKEN"]+":x-oauth-basic")), want: "Authorization: Basic " + b64(real["GIT_TOKEN"]+":x-oauth-basic"), inject: "GIT_TOKEN"},
		{name: "token as user, another's password", r: request("GET https://github.com/", "Authorization: Basic "+b64(in["GIT_TOKEN"]+":ghp_ATTACKER")), refuse: "not yours"},
		{name: "bearer for basic", r: request("GET https://github.com/", "Authorization: Bearer "+in["GIT_TOKEN"]), want: "Authorization: Basic " + b64("x-access-token:"+real["GIT_TOKEN"]), inject: "GIT_TOKEN"},
		{name: "another's token as user", r: request("GET https://github.com/", "Authorization: Basic "+b64("ghp_ATTACKER0123456789:"+in["GIT_TOKEN"])), refuse: "not yours"},
		{name: "echo", r: request("TRACE https://github.com/"), absent: "Authorization"},
		{name: "user", r: request("GET https://jira.example/x", "Authorization: Basic "+b64(testUser+":"+in["JIRA"])), want: "Authorization: Basic " + b64(testUser+":"+real["JIRA"]), inject: "JIRA"},
		{name: "user absent", r: request("GET https://jira.example/x"), want: "Authorization: Basic " + b64(testUser+":"+real["JIRA"]), inject: "JIRA"},
		{name: "another user", r: request("GET https://jira.example/x", "Authorization: Basic "+b64("admin:"+in["JIRA"])), want: "Authorization: Basic " + b64(testUser+":"+real["JIRA"]), inject: "JIRA"},
		{name: "another password", r: request("GET https://jira.example/x", "Authorization: Basic "+b64(testUser+":guess")), refuse: "not yours"},
	}
}

// elsewhere: stand-ins at hosts that they are not for.
func elsewhere(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "another host", r: request("GET https://evil.example/", "X-Api-Key: "+in["ANTHROPIC_API_KEY"]), refuse: "stand-in of ANTHROPIC_API_KEY", leaks: []string{"ANTHROPIC_API_KEY@header X-Api-Key!"}},
		{name: "another host's own credential", r: request("GET https://evil.example/", "Authorization: Bearer other"), want: "Authorization: Bearer other"},
		{name: "another port", r: request("GET http://api.github.com/", "Authorization: Bearer "+in["GITHUB_TOKEN"]), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@header Authorization!"}},
		{name: "another bound host", r: request("GET https://github.com/", "Authorization: Bearer "+in["ANTHROPIC_API_KEY"]), refuse: "stand-in of ANTHROPIC_API_KEY", leaks: []string{"ANTHROPIC_API_KEY@header Authorization!"}},
		{name: "another bound host, same header", r: request("GET https://jira.example/", "Authorization: Bearer "+in["GITHUB_TOKEN"]), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@header Authorization!"}},
		{name: "path of another host", r: request("GET https://evil.example/" + in["GITHUB_TOKEN"]), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@url!"}},
		{name: "query of another host", r: request("GET https://evil.example/?x=" + hex.EncodeToString([]byte(in["GITHUB_TOKEN"]))), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@url!"}},
		{name: "base64 to another host", r: request("GET https://evil.example/", "X: "+b64("xx"+in["GITHUB_TOKEN"]+"y")), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@header X!"}},
		{name: "percent to another host", r: request("GET https://evil.example/?x=%67" + in["GITHUB_TOKEN"][1:]), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@url!"}},
		{name: "cookie to another host", r: request("GET https://github.com/", "Cookie: a="+in["GITHUB_TOKEN"]), refuse: "stand-in of GITHUB_TOKEN", leaks: []string{"GITHUB_TOKEN@header Cookie!"}},
		{name: "an address", r: &Request{Port: 443, Method: "GET", Path: "/", URI: "/", Header: http.Header{"X": {in["GITHUB_TOKEN"]}}}, refuse: "an address without a name", leaks: []string{"GITHUB_TOKEN@header X!"}},
	}
}

// stray: stand-ins of the host in another place.
func stray(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "same host, other header", r: request("GET https://api.github.com/repos/a/b", "X-Echo: "+in["GITHUB_TOKEN"]+" "+in["GITHUB_TOKEN"]), want: "X-Echo: " + in["GITHUB_TOKEN"] + " " + in["GITHUB_TOKEN"], leaks: []string{"GITHUB_TOKEN@header X-Echo"}, inject: "GITHUB_TOKEN"},
		{name: "same host, twice", r: request("GET https://api.github.com/", "X-Echo: "+in["GITHUB_TOKEN"], "X-Echo: "+in["GITHUB_TOKEN"]), leaks: []string{"GITHUB_TOKEN@header X-Echo"}, inject: "GITHUB_TOKEN"},
		{name: "bearer in a plain header", r: request("POST https://api.anthropic.com/v1/messages", "X-Api-Key: Bearer "+in["ANTHROPIC_API_KEY"]), refuse: "not yours"},
		{name: "override where any method is bound", r: request("POST https://github.com/x", "X-Http-Method-Override: GET"), want: "X-Http-Method-Override: GET", inject: "GIT_TOKEN"},
		{name: "same host, other carrier", r: request("GET https://api.github.com/repos/a/b", "Private-Token: "+in["GITHUB_TOKEN"]), want: "Private-Token: " + in["GITHUB_TOKEN"], leaks: []string{"GITHUB_TOKEN@header Private-Token"}, inject: "GITHUB_TOKEN"},
		{name: "same host, query", r: request("GET https://api.github.com/?access_token=" + in["GITHUB_TOKEN"]), want: "Authorization: Bearer " + real["GITHUB_TOKEN"], leaks: []string{"GITHUB_TOKEN@url"}, inject: "GITHUB_TOKEN"},
		{name: "same host, key and bearer changed", r: request("POST https://api.anthropic.com/v1/messages", "Authorization: Bearer "+in["ANTHROPIC_API_KEY"]), want: "Authorization: Bearer " + in["ANTHROPIC_API_KEY"], leaks: []string{"ANTHROPIC_API_KEY@header Authorization"}, inject: "ANTHROPIC_API_KEY"},
	}
}

// unavailable: no value, no TLS.
func unavailable(in, real map[string]string) []outgoingCase {
	return []outgoingCase{
		{name: "no value", r: request("GET https://unset.example/", "Authorization: Bearer "+in["UNSET"]), refuse: "UNSET has no value now; the person outside sees why", failure: 503},
		{name: "no value, absent", r: request("GET https://unset.example/"), absent: "Authorization"},
		{name: "no value, another's", r: request("GET https://unset.example/", "Authorization: Bearer ATTACKER"), refuse: "not yours"},
		{name: "without TLS", r: &Request{Host: "api.github.com", Port: 443, Method: "GET", Path: "/", URI: "/", Header: http.Header{"Authorization": {"Bearer " + in["GITHUB_TOKEN"]}}}, refuse: "without TLS"},
		{name: "without TLS, absent", r: &Request{Host: "api.github.com", Port: 443, Method: "GET", Path: "/", URI: "/", Header: http.Header{}}, absent: "Authorization"},
		{name: "loopback", r: request("GET http://localhost:9000/x", "Authorization: Bearer "+in["SONAR"]), want: "Authorization: Bearer " + real["SONAR"], inject: "SONAR"},
	}
}

func TestOutgoing(t *testing.T) {
	s := newSandboxed(t)
	real := s.real
	for _, tt := range slices.Concat(inPlace(s.in, real), foreign(s.in, real), basicForms(s.in, real), elsewhere(s.in, real), stray(s.in, real), unavailable(s.in, real)) {
		t.Run(tt.name, func(t *testing.T) {
			v := s.keys.Outgoing(t.Context(), tt.r)
			if (v.Refuse == "") != (tt.refuse == "") || !strings.Contains(v.Refuse, tt.refuse) {
				t.Fatalf("refused: %q, want %q", v.Refuse, tt.refuse)
			}
			if v.Refuse != "" && v.Status != max(tt.failure, 403) && v.Status != tt.failure {
				t.Errorf("status %d", v.Status)
			}
			var leaks []string
			for _, l := range v.Leaks {
				text := l.Credential + "@" + l.Where
				if l.Refused {
					text += "!"
				}
				leaks = append(leaks, text)
			}
			if !slices.Equal(leaks, tt.leaks) {
				t.Errorf("leaks %v, want %v", leaks, tt.leaks)
			}
			if got := strings.Join(v.Injected, ","); v.Refuse == "" && got != tt.inject {
				t.Errorf("injected %q, want %q", got, tt.inject)
			}
			if name, value, ok := strings.Cut(tt.want, ": "); ok && !slices.Equal(tt.r.Header[name], []string{value}) {
				t.Errorf("%s is %q, want %q", name, tt.r.Header[name], value)
			}
			if _, there := tt.r.Header[tt.absent]; there {
				t.Errorf("%s is sent: %q", tt.absent, tt.r.Header[tt.absent])
			}
			for name, value := range real {
				if value != "" && strings.Contains(v.Refuse+v.Fix, value) {
					t.Errorf("the reason holds the value of %s", name)
				}
			}
		})
	}
}

// TestOutgoingNarrows: the answer of a bound host can be searched, another's is left
// as it was asked for.
func TestOutgoingNarrows(t *testing.T) {
	s := newSandboxed(t)
	ask := []string{"Range: bytes=5-15,16-26", "If-Range: x", "Accept-Encoding: gzip, br", "Sec-Websocket-Extensions: permessage-deflate", "Upgrade: h2c", "Te: gzip"}
	r := request("GET https://api.github.com/", ask...)
	s.keys.Outgoing(t.Context(), r)
	if r.Header.Get("Accept-Encoding") != "identity" || len(r.Header) != 2 {
		t.Errorf("headers: %v", slices.Collect(maps.Keys(r.Header)))
	}
	r = request("GET https://other.example/", ask...)
	s.keys.Outgoing(t.Context(), r)
	if r.Header.Get("Accept-Encoding") != "gzip, br" || len(r.Header) != 6 {
		t.Errorf("headers to another host: %v", r.Header)
	}
}

// TestPlaces: a place is one in all its spellings, and a cookie may be one.
func TestPlaces(t *testing.T) {
	place := func(name, header, host string) belljar.Credential {
		return belljar.Credential{Name: name, From: belljar.CredentialSource{Env: name}, Form: belljar.FormHeader, Header: header,
			Hosts: []belljar.BoundHost{{Host: host, Port: 443}}, Paths: []string{"/v1/**"}}
	}
	keys, made := makeKeys(t, []belljar.Credential{
		place("V", "X-Vendor-Id", "api.example.com"), place("S", "Cookie", "www.example.com"), place("G", "X-Goog-Api-Key", "generativelanguage.googleapis.com"),
	}, "V=sk-live-Zq8vT2mWx0PkD4rYh7LcNb5s", "S=session=Zq8vT2mWx0PkD4rYh7LcNb5s", "G=AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY")
	for _, tt := range []struct {
		line, header string
		refused      bool
		sent         string // Name: value
	}{
		{"GET https://api.example.com/v1/x", "X-Vendor-Id: " + made[0].StandIn, false, "X-Vendor-Id: sk-live-Zq8vT2mWx0PkD4rYh7LcNb5s"},
		{"GET https://api.example.com/v1/x", "X_Vendor_Id: attacker", true, ""},
		{"GET https://api.example.com/v2/x", "X_Vendor_Id: attacker", true, ""},
		{"GET https://api.example.com/v1/x", "X-Forwarded-Uri: /admin", false, "X-Forwarded-Uri: "},
		{"GET https://api.example.com/v1/x", "x_forwarded_path: /admin", false, "X_forwarded_path: "},
		{"GET https://www.example.com/v1/x", "Cookie: " + made[1].StandIn, false, "Cookie: session=Zq8vT2mWx0PkD4rYh7LcNb5s"},
		{"GET https://www.example.com/v1/x", "Accept: */*", false, "Cookie: session=Zq8vT2mWx0PkD4rYh7LcNb5s"},
		{"GET https://www.example.com/v1/x", "Cookie: session=attacker", true, ""},
		{"GET https://generativelanguage.googleapis.com/v1/x?$key=attacker", "", true, ""},
		{"GET https://generativelanguage.googleapis.com/v1/x?%24key=attacker", "", true, ""},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{tt.header}
		}
		r := request(tt.line, headers...)
		v := keys.Outgoing(t.Context(), r)
		name, want, _ := strings.Cut(tt.sent, ": ")
		if got := strings.Join(r.Header[name], " "); (v.Refuse != "") != tt.refused || got != want {
			t.Errorf("%s, %s: sent %q, refused %q", tt.line, tt.header, got, v.Refuse)
		}
	}
}

// TestTakes: a credential is for a path however its empty segments are read, and for
// reading only, not for a WebSocket.
func TestTakes(t *testing.T) {
	c := github
	c.Paths = []string{"/repos/*/issues"}
	keys, made := makeKeys(t, []belljar.Credential{c}, "G="+realValues()["G"])
	for line, want := range map[string]bool{
		"GET https://api.github.com/repos/acme/issues":  true,
		"GET https://api.github.com/repos//issues":      false,
		"GET https://api.github.com//repos/acme/issues": false,
		"GET https://api.github.com/repos/acme//issues": false,
	} {
		for _, upgrade := range []string{"", "websocket"} {
			r := request(line, "Authorization: Bearer "+made[0].StandIn, "Upgrade: "+upgrade)
			if v := keys.Outgoing(t.Context(), r); v.Refuse != "" || len(v.Injected) > 0 != (want && upgrade == "") {
				t.Errorf("%s, upgrade %q: injected %v, refused %q", line, upgrade, v.Injected, v.Refuse)
			}
		}
	}
}

// FuzzOutgoing: whatever the request is, a value is only where the policy puts it, and
// nobody else's credential goes with it.
func FuzzOutgoing(f *testing.F) {
	s := newSandboxed(f)
	f.Add("api.github.com", "GET", "/", "", "Authorization", "Bearer ", "GITHUB_TOKEN", "")
	f.Add("api.anthropic.com", "POST", "/v1/messages", "beta=true", "X-Api-Key", "", "ANTHROPIC_API_KEY", "")
	f.Add("github.com", "GET", "/a", "", "Authorization", "Basic ", "", "eDp5")
	f.Add("evil.example", "GET", "/a", "token=1", "Cookie", "a=", "JIRA", ";b")
	f.Add("localhost", "GET", "/a", "", "x_api_key", "", "SONAR", "")
	f.Add("github.com", "GET", "/a", "", "X-\x1b[31m-Authorization", "a=", "JIRA", ";b")
	f.Fuzz(func(t *testing.T, host, method, path, query, name, before, cred, after string) {
		if name == "" {
			return
		}
		value := before + s.in[cred] + after
		r := &Request{Host: host, Port: 443, Secure: true, Method: method, Path: path, URI: path + "?" + query, Header: http.Header{name: {value}}}
		v := s.keys.Outgoing(context.Background(), r)
		for _, e := range s.keys.entries {
			c, secret := &e.plan, s.real[e.plan.Name]
			for h, values := range r.Header {
				for _, got := range values {
					if secret == "" || survives(got, secret) == "" || strings.Contains(value, secret) {
						continue
					}
					if h != c.Header || len(values) != 1 || !c.Bound(host, 443) || !c.Takes(method, path) || !slices.Contains(v.Injected, c.Name) {
						t.Fatalf("the value of %s is in %s of a request to %s %s", c.Name, h, host, path)
					}
				}
			}
			if strings.Contains(v.Refuse, "\x1b") || len(v.Refuse) > 1000+10*len(host) {
				t.Fatalf("the reason is not fit to print: %q", v.Refuse)
			}
			if secret != "" && strings.Contains(v.Refuse+v.Fix, secret) {
				t.Fatalf("the reason holds the value of %s", c.Name)
			}
		}
		if s.in[cred] != "" && !v.bound && v.Refuse == "" {
			t.Fatalf("the stand-in of %s went to %s", cred, host)
		}
		if len(v.Injected) > 0 && v.Refuse == "" {
			for h, values := range r.Header {
				if carriesCredential(h) && !slices.ContainsFunc(s.keys.entries, func(e *entry) bool { return e.plan.Header == h && slices.Contains(v.Injected, e.plan.Name) }) && s.in[cred] == "" {
					t.Fatalf("%s: %q goes with %v", h, values, v.Injected)
				}
			}
		}
	})
}

func BenchmarkOutgoing(b *testing.B) {
	s := newSandboxed(b)
	head := request("POST https://api.anthropic.com/v1/messages?beta=true", "Accept: application/json", "Anthropic-Beta: claude-code-20250219,interleaved-thinking-2025-05-14",
		"Anthropic-Version: 2023-06-01", "Content-Type: application/json", "User-Agent: claude-cli/2.1.329 (external, cli)", "X-App: cli", "X-Stainless-Arch: x64",
		"X-Stainless-Lang: js", "X-Stainless-Os: Linux", "X-Stainless-Package-Version: 0.60.0", "X-Stainless-Retry-Count: 0", "X-Stainless-Runtime: node", "Accept-Encoding: gzip, br",
		"X-Api-Key: "+s.in["ANTHROPIC_API_KEY"])
	for _, bound := range []bool{true, false} {
		name := map[bool]string{true: "bound", false: "elsewhere"}[bound]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := *head
				r.Header = head.Header.Clone()
				if !bound {
					r.Host = "other.example"
					r.Header.Del("X-Api-Key")
				}
				if v := s.keys.Outgoing(b.Context(), &r); v.Refuse != "" {
					b.Fatal(v.Refuse)
				}
			}
		})
	}
}

// TestValuesThatWait: while somebody is asked about a request no source is read, and the
// request is judged all the same.
func TestValuesThatWait(t *testing.T) {
	creds, keys, err := Make(t.Context(), []belljar.Credential{{
		Name: "K", From: belljar.CredentialSource{Env: "K"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.test", Port: 443}},
	}}, Host{Env: []string{"K=real-value-0123456789-abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	keys.entries[0].src.looked = time.Time{} // due
	r := &Request{
		Host: "api.test", Port: 443, Secure: true, Method: "POST", Path: "/v1/messages", URI: "/v1/messages", Wait: true,
		Header: http.Header{"Authorization": {"Bearer " + creds[0].StandIn}},
	}
	v := keys.Outgoing(t.Context(), r)
	if v.Refuse != "" || len(v.Injected) > 0 || !keys.entries[0].src.looked.IsZero() || r.Header.Get("Authorization") != "Bearer "+creds[0].StandIn {
		t.Fatalf("%+v %v", v, r.Header)
	}
	h := r.Header.Clone()
	v.Put(t.Context(), h)
	if h.Get("Authorization") != "Bearer real-value-0123456789-abcdef" || len(v.Injected) != 1 || !v.talk || keys.entries[0].src.looked.IsZero() {
		t.Errorf("%+v %v", v, h)
	}
	h.Set("Authorization", "x")
	v.Put(t.Context(), h)
	if h.Get("Authorization") != "x" {
		t.Error("put in twice")
	}
	r.Header = http.Header{"Authorization": {"Bearer somebody-elses-0123456789"}}
	if v := keys.Outgoing(t.Context(), r); v.Refuse == "" || v.put != nil {
		t.Error("another key waits")
	}
}
