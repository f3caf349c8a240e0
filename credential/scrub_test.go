package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/belljar-dev/belljar"
)

const (
	testKey  = "sk-ant-api03-Zk3Jm9QxW1vB7tYcR5sN8dLfH2gPaE6uKoT4iXzCq-0_yMwVrGjSbDhUeAnIlFpOxZ1k2m3n4b5v6c7x8z9QqWwEeAA"
	testUser = "user@example.com"
)

// keysFor makes keys of values, each credential bound to api.example.com:443 and
// sent as bearer.
func keysFor(t testing.TB, values ...string) (*Keys, []belljar.Credential) {
	t.Helper()
	var creds []belljar.Credential
	var env []string
	for i, v := range values {
		name := fmt.Sprintf("KEY%d", i)
		env = append(env, name+"="+v)
		creds = append(creds, belljar.Credential{
			Name: name, From: belljar.CredentialSource{Env: name}, Form: belljar.FormBearer, Header: "Authorization",
			Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
		})
	}
	return makeKeys(t, creds, env...)
}

func makeKeys(t testing.TB, creds []belljar.Credential, env ...string) (*Keys, []belljar.Credential) {
	t.Helper()
	made, keys, err := Make(context.Background(), creds, Host{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	return keys, made
}

// spellings are the forms in which a value may come back; rng chooses where there is a
// choice.
func spellings(value string, rng *rand.Rand) []string {
	b := []byte(value)
	all := []string{value, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), url.QueryEscape(value), url.PathEscape(value)}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		for _, user := range []string{"", "u:", "us:", "use:"} {
			all = append(all, enc.EncodeToString([]byte(user+value)), enc.EncodeToString([]byte(user+value+":tail")))
		}
	}
	formats := []string{"%%%02x", "%%%02X", `\u%04x`, `\u%04X`, `\x%02x`, `\\u%04x`}
	for _, share := range []int{1, 2, 10} {
		var mixed strings.Builder
		for _, c := range b {
			if rng.IntN(share) == 0 {
				fmt.Fprintf(&mixed, formats[rng.IntN(len(formats))], c)
			} else {
				mixed.WriteByte(c)
			}
		}
		all = append(all, mixed.String())
	}
	return all
}

// survives says in which form text still holds value.
func survives(text, value string) string {
	decode := func(s string) string {
		var b strings.Builder
		for s != "" {
			if c, n, _ := unit([]byte(s)); n > 0 {
				b.WriteByte(c)
				s = s[n:]
				continue
			}
			b.WriteByte(s[0])
			s = s[1:]
		}
		return b.String()
	}
	switch {
	case strings.Contains(text, value):
		return "plain"
	case strings.Contains(text, hex.EncodeToString([]byte(value))), strings.Contains(text, strings.ToUpper(hex.EncodeToString([]byte(value)))):
		return "hex"
	case strings.Contains(decode(text), value):
		return "escaped"
	}
	for before := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if strings.Contains(text, string(base64Core(enc, []byte(value), before))) {
				return "base64"
			}
		}
	}
	return ""
}

// reveals says whether somebody who decodes text with the standard library finds value:
// it is not told how the search works.
func reveals(text, value string) bool {
	inner := strings.TrimSuffix(strings.TrimPrefix(text, `{"before":"`), `","after":1}`+"\n\n")
	found := []string{text, inner}
	undo := func(f func(string) (string, error)) {
		for _, s := range found {
			if d, err := f(s); err == nil {
				found = append(found, d)
			}
		}
	}
	undo(func(s string) (string, error) { return strings.ReplaceAll(s, `\\`, `\`), nil })
	undo(func(s string) (d string, err error) {
		d, err = strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(s, `\/`, "/"), `"`, `\"`) + `"`)
		return d, err
	})
	undo(func(s string) (string, error) {
		return regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(s, func(e string) string {
			b, _ := hex.DecodeString(e[1:])
			return string(b)
		}), nil
	})
	undo(func(s string) (string, error) { return strings.ReplaceAll(s, "+", " "), nil })
	undo(func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err })
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		undo(func(s string) (string, error) { b, err := enc.DecodeString(s); return string(b), err })
	}
	return slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, value) })
}

// scrubbed is text as it is read through an answer of keys' host.
func scrubbed(t testing.TB, keys *Keys, src io.Reader) string {
	t.Helper()
	v := &Verdict{keys: keys, bound: true}
	body, err := v.Response(200, http.Header{}, io.NopCloser(src))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestScrubForms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, value := range []string{testKey, "hunter2!/\\\"", "ghp_" + checked(sample(base62, 30)), sample(base62, 250), "pass word%2Fwith&odd=+chars", "??>>~~?>~?>~!?", "pässwörtchen-äöü"} {
		keys, _ := keysFor(t, value)
		for _, form := range spellings(value, rng) {
			text := `{"before":"` + form + `","after":1}` + "\n\n"
			got := scrubbed(t, keys, strings.NewReader(text))
			if len(got) != len(text) {
				t.Fatalf("%q became %d bytes longer", text, len(got)-len(text))
			}
			if how := survives(got, value); how != "" {
				t.Errorf("%s of %q survives in %q", how, value, got)
			}
			simple := !strings.ContainsFunc(value, func(r rune) bool { return r == '\\' || r == '%' || r > 126 })
			if simple && !reveals(text, value) {
				t.Fatalf("nobody reads %q as %q: the test is wrong", text, value)
			}
			if reveals(got, value) {
				t.Errorf("%q is read as %q", got, value)
			}
			if !strings.HasPrefix(got, `{"before":"`) || !strings.HasSuffix(got, `","after":1}`+"\n\n") {
				t.Errorf("what is around %q changed: %q", form, got)
			}
			for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
				if again := scrubbed(t, keys, r); again != got {
					t.Errorf("in pieces: %q, at once: %q", again, got)
				}
			}
			if twice := scrubbed(t, keys, strings.NewReader(got)); twice != got {
				t.Errorf("twice: %q, once: %q", twice, got)
			}
		}
	}
}

// TestScrubShowsStandIn: what replaces a value is its stand-in, in the same form.
func TestScrubShowsStandIn(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	s := creds[0].StandIn
	for _, tt := range []struct{ in, want string }{
		{testKey, s},
		{base64.StdEncoding.EncodeToString([]byte("u:" + testKey)), base64.StdEncoding.EncodeToString([]byte("u:" + s))},
		{hex.EncodeToString([]byte(testKey)), hex.EncodeToString([]byte(s))},
		{`\u0073` + testKey[1:], `\u0073` + s[1:]},
		{"%73" + testKey[1:], "%73" + s[1:]},
		{testKey + testKey, s + s},
		{testKey[:len(testKey)-1], testKey[:len(testKey)-1]},
	} {
		if got := scrubbed(t, keys, strings.NewReader(tt.in)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestScrubSmallReads: a reader with hardly any room is served as well.
func TestScrubSmallReads(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	body, _ := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, io.NopCloser(strings.NewReader("a"+testKey+"b")))
	var got []byte
	p := make([]byte, 3)
	for {
		n, err := body.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			break
		}
	}
	if string(got) != "a"+creds[0].StandIn+"b" {
		t.Errorf("got %q", got)
	}
}

// TestScrubNested: of values that contain each other the longest is found, however the
// text comes.
func TestScrubNested(t *testing.T) {
	inner, outer := sample(base62, 20), ""
	outer = "outer-" + inner + "-" + sample(base62, 20)
	keys, creds := keysFor(t, inner, outer, inner+"XYZW")
	for text, want := range map[string]string{
		outer:               creds[1].StandIn,
		outer[:30] + "!":    "outer-" + creds[0].StandIn + outer[26:30] + "!",
		inner + "XYZW":      creds[2].StandIn,
		inner + "%58YZW":    "",
		inner + `\u0058YZ!`: creds[0].StandIn + `\u0058YZ!`,
	} {
		whole := scrubbed(t, keys, strings.NewReader(text))
		if want != "" && whole != want || want == "" && whole[:20] == creds[0].StandIn {
			t.Errorf("%q became %q, want %q", text, whole, want)
		}
		if got := scrubbed(t, keys, iotest.OneByteReader(strings.NewReader(text))); got != whole {
			t.Errorf("%q in pieces: %q, at once: %q", text, got, whole)
		}
	}
}

// TestScrubSpaces: a space is a plus in a form.
func TestScrubSpaces(t *testing.T) {
	keys, _ := keysFor(t, "a phrase, not a word")
	if got := scrubbed(t, keys, strings.NewReader("p="+url.QueryEscape("a phrase, not a word"))); strings.Contains(got, "phrase") || strings.Contains(got, "word") {
		t.Errorf("got %q", got)
	}
}

func TestScrubHeaders(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	h := http.Header{"X-Echo": {"Bearer " + testKey, "x"}, "Location": {"https://evil.example/?k=" + url.QueryEscape(testKey)}}
	v := &Verdict{keys: keys, bound: true}
	if _, err := v.Response(302, h, http.NoBody); err != nil {
		t.Fatal(err)
	}
	if h["X-Echo"][0] != "Bearer "+creds[0].StandIn || h["X-Echo"][1] != "x" || strings.Contains(h.Get("Location"), testKey) {
		t.Errorf("headers: %v", h)
	}
	if got := v.keys.Clean(`Get "https://api.example.com/?` + testKey + `": refused`); strings.Contains(got, testKey) {
		t.Errorf("an error: %q", got)
	}
	other := http.Header{"X-Echo": {testKey}}
	_, _ = (&Verdict{keys: keys}).Response(200, other, http.NoBody)
	if other.Get("X-Echo") != testKey {
		t.Error("an answer of a host without credentials was searched")
	}
}

func FuzzScrub(f *testing.F) {
	f.Add(testKey, "data: {\"key\":\"", "\"}\n\n", uint64(1))
	f.Add("hunter2!", "%68", "\\u0068", uint64(2))
	f.Add("aaaaaaaaaaaaaaaaaaaa", "aaaa", "%61%61", uint64(3))
	f.Add("ababababababababab", "ba", "abab", uint64(4))
	f.Add(`pass\"%2Fword`, `\\`, `%`, uint64(5))
	f.Add("n4b5v6c7x8z%A", "%4", "b8qL", uint64(6))
	f.Add("n4b5v6c7x)))))))))))))))))))))))))))8z%A", "%4", "b8qL", uint64(6))
	f.Fuzz(func(t *testing.T, value, before, after string, seed uint64) {
		s := source{}
		raw := secretOf([]byte(value))
		if len(value) < minFound || len(value) > 300 || s.check(raw) != nil {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		other := sample(base62, 40)
		keys, _ := keysFor(t, value, other)
		var text strings.Builder
		for range 1 + rng.IntN(4) {
			forms := spellings(value, rng)
			text.WriteString(before + forms[rng.IntN(len(forms))])
			if rng.IntN(3) == 0 {
				text.WriteString(other)
			}
			text.WriteString(after)
			if cut := len(value) - 1; rng.IntN(3) == 0 {
				text.WriteString(value[:cut])
			}
		}
		whole := scrubbed(t, keys, strings.NewReader(text.String()))
		if len(whole) != text.Len() {
			t.Fatalf("the length changed by %d", len(whole)-text.Len())
		}
		if pieces := scrubbed(t, keys, &pieces{b: []byte(text.String()), rng: rng}); pieces != whole {
			t.Fatalf("value %q\nin pieces %q\nat once   %q", value, pieces, whole)
		}
		if regular(value) {
			return
		}
		// What is before a stand-in may make a value of it by chance: %4 before one that begins
		// with 1, where the value ends in A. What is left of a value is there with every stand-in.
		how := survives(whole, value) + survives(whole, other)
		for try := 0; how != "" && try < 4; try++ {
			keys, _ = keysFor(t, value, other)
			whole = scrubbed(t, keys, strings.NewReader(text.String()))
			how = survives(whole, value) + survives(whole, other)
		}
		if how != "" {
			t.Fatalf("%s of %q survives\nin  %q\nout %q", how, value, text.String(), whole)
		}
		if twice := scrubbed(t, keys, strings.NewReader(whole)); twice != whole {
			t.Fatalf("value %q\nonce  %q\ntwice %q", value, whole, twice)
		}
		if survives(before+"|"+after, value) == "" {
			clean := before + "\x00" + after
			if got := scrubbed(t, keys, strings.NewReader(clean)); got != clean {
				t.Fatalf("%q became %q", clean, got)
			}
		}
	})
}

// regular says whether a value has so few different characters that a stand-in for it
// cannot differ much.
func regular(value string) bool {
	distinct := map[rune]bool{}
	for _, r := range value {
		distinct[r] = true
	}
	return len(distinct) < 6
}

// pieces gives its bytes in pieces of any size.
type pieces struct {
	b   []byte
	rng *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := min(len(b), len(p.b), 1+p.rng.IntN(40))
	copy(b, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}

func BenchmarkScrub(b *testing.B) {
	keys, _ := keysFor(b, testKey, "ghp_"+checked(sample(base62, 30)), "sk-proj-"+sample(base64URL, 156), "AIza"+sample(base64URL, 35))
	json := strings.Repeat(`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"func main() {\n\tfmt.Println(\"hello, world\")\n}"}}`+"\n\n", 1<<13)
	binary := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(binary)
	for _, bb := range []struct{ name, text string }{
		{"binary", string(binary)},
		{"text", strings.Repeat("The quick brown fox jumps over the lazy dog, and the agent writes a test. ", 1<<14)},
		{"sse", json},
		{"random", sample(base64URL, 1<<20)},
		{"escaped", url.QueryEscape(json)},
		{"hostile", strings.Repeat(`%73k-ant-api03-\u0073k-ant-api03-`, 1<<15)},
		{"prefixes", strings.Repeat("sk-ant-api03-", 1<<16)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.text)))
			p := make([]byte, 32<<10)
			for b.Loop() {
				body, _ := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, io.NopCloser(strings.NewReader(bb.text)))
				for {
					if _, err := body.Read(p); err != nil {
						break
					}
				}
			}
		})
	}
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(json)))
		p := make([]byte, 32<<10)
		for b.Loop() {
			r := bytes.NewReader([]byte(json))
			for {
				if _, err := r.Read(p); err != nil {
					break
				}
			}
		}
	})
}
