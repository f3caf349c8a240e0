package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestChecked holds the checksum to a token that GitHub has published.
func TestChecked(t *testing.T) {
	const published = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"
	if got := checked(published[:30]); got != published {
		t.Errorf("checked(%q) = %q, want %q", published[:30], got, published)
	}
}

func sample(alphabet string, n int) string { return random(alphabet, n) }

func TestStandInShapes(t *testing.T) {
	jwt := strings.Join([]string{
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1","typ":"JWT"}`)),
		base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1790000000,"sub":"user@example.com","aud":"x"}`)),
		sample(base64URL, 342),
	}, ".")
	for _, tt := range []struct{ name, value, prefix, suffix, alphabet string }{
		{"anthropic", "sk-ant-api03-" + sample(base64URL, 93) + "AA", "sk-ant-api03-", "AA", base64URL},
		{"anthropic oauth", "sk-ant-oat01-" + sample(base64URL, 93) + "AA", "sk-ant-oat01-", "AA", base64URL},
		{"openai project", "sk-proj-" + sample(base64URL, 156), "sk-proj-", "", base64URL},
		{"openai", "sk-" + sample(base62, 48), "sk-", "", base62},
		{"github", "ghp_" + checked(sample(base62, 30)), "ghp_", "", base62},
		{"github oauth", "gho_" + checked(sample(base62, 30)), "gho_", "", base62},
		{"github fine-grained", "github_pat_" + sample(base62, 22) + "_" + sample(base62, 59), "github_pat_", "", base62 + "_"},
		{"gitlab", "glpat-" + sample(base64URL, 20), "glpat-", "", base64URL},
		{"google", "AIza" + sample(base64URL, 35), "AIza", "", base64URL},
		{"slack", "xoxb-" + sample(digits, 12) + "-" + sample(digits, 12) + "-" + sample(base62, 24), "xoxb-", "", base62 + "-"},
		{"npm", "npm_" + checked(sample(base62, 30)), "npm_", "", base62},
		{"hugging face", "hf_" + sample(letters, 34), "hf_", "", letters},
		{"aws", "AKIA" + sample(upperCase+"234567", 16), "AKIA", "", upperCase + "234567"},
		{"hex", sample(digits+"abcdef", 40), "", "", digits + "abcdef"},
		{"uuid", "3f2b8c1a-9d4e-4f6a-8b7c-" + sample(digits+"abcdef", 12), "", "", digits + "abcdef-"},
		{"upper hex", sample(digits+"ABCDEF", 32), "", "", digits + "ABCDEF"},
		{"digits", sample(digits, 24), "", "", digits},
		{"lower", sample(lowerCase, 32), "", "", lowerCase},
		{"base64", sample(base62, 43) + "=", "", "=", base62 + "="},
		{"jwt", jwt, "eyJ", "", base64URL + "."},
		{"bytes", "pässwort-" + sample(base62, 30), "p", "", base62 + "ä-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[string]bool{}
			for range 50 {
				s := standInFor("X", []byte(tt.value), false)
				if len(s) != len(tt.value) || !strings.HasPrefix(s, tt.prefix[:min(len(tt.prefix), len(s))]) && tt.name != "bytes" || !strings.HasSuffix(s, tt.suffix) {
					t.Fatalf("%q for %q: want %d bytes, prefix %q, suffix %q", s, tt.value, len(tt.value), tt.prefix, tt.suffix)
				}
				if strings.Trim(strings.TrimPrefix(s, tt.prefix), tt.alphabet) != "" {
					t.Fatalf("%q has other characters than %q", s, tt.alphabet)
				}
				if seen[s] {
					t.Fatalf("%q came twice", s)
				}
				seen[s] = true
			}
		})
	}
	for range 20 {
		if s := standInFor("X", []byte("ghp_"+checked(sample(base62, 30))), false); checked(s[4:34]) != s[4:] {
			t.Errorf("%q: the checksum of a GitHub token is wrong", s)
		}
	}
	parts := strings.Split(standInFor("X", []byte(jwt), false), ".")
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			t.Fatalf("part %d of a JWT: %q: %v", i, b, err)
		}
	}
	if header["alg"] != "none" || claims["sub"] != nil {
		t.Errorf("a JWT's stand-in has header %v and claims %v", header, claims)
	}
	if strings.Contains(strings.Join(parts, "."), strings.Split(jwt, ".")[2][:20]) {
		t.Error("a JWT's stand-in has the signature")
	}
}

// TestStandInUnmistakable: what is short, regular or not known has a stand-in that
// nobody meets by chance.
func TestStandInUnmistakable(t *testing.T) {
	for _, value := range []string{"", "x", "hunter2", "Summer2024!", "0123456789", "aaaaaaaaaaaaaaaaaaaaaaaa", "------------------------", "sk-ant-api03-short", strings.Repeat("ab", 40), strings.Repeat("1", 20)} {
		for range 20 {
			s := standInFor("X", []byte(value), false)
			if len(s) < minRandom || len(s) < len(value) || s == value {
				t.Fatalf("%q for %q", s, value)
			}
			distinct := map[rune]bool{}
			for _, r := range s {
				distinct[r] = true
			}
			if len(distinct) < 6 {
				t.Errorf("%q for %q is not random", s, value)
			}
		}
	}
	for name, prefix := range map[string]string{"ANTHROPIC_API_KEY": "sk-ant-api03-", "GITHUB_TOKEN": "ghp_", "GEMINI_API_KEY": "AIza", "OPENAI_API_KEY": "sk-proj-", "OTHER": ""} {
		if s := standInFor(name, nil, false); !strings.HasPrefix(s, prefix) || len(s) < 30 {
			t.Errorf("%s without a value: %q", name, s)
		}
	}
}

// TestStandInOfPassword: nothing but the length of a password shows.
func TestStandInOfPassword(t *testing.T) {
	const password = "correct-horse-battery-staple"
	s := standInFor("X", []byte(password), true)
	if len(s) != len(password) || strings.Trim(s, base62) != "" {
		t.Errorf("%q for %q", s, password)
	}
	if s := standInFor("X", []byte("glpat-"+sample(base62, 20)), true); !strings.HasPrefix(s, "glpat-") {
		t.Errorf("a token as a password: %q", s)
	}
}

// TestStandInApart is the property that a stand-in tells nothing of the value.
func TestStandInApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	alphabets := []string{base62, base64URL, digits, lowerCase, upperCase + digits, digits + "abcdef", base62 + ".-_", " !#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" + base62}
	known := append(shapes(), shape{}, shape{}, shape{})
	for range 4000 {
		value := known[rng.IntN(len(known))].prefix + random(alphabets[rng.IntN(len(alphabets))], 1+rng.IntN(120))
		s := standInFor("X", []byte(value), false)
		checkApart(t, s, value)
	}
}

func checkApart(t *testing.T, s, value string) {
	t.Helper()
	if s == value || len(value) >= minRandom && len(s) < len(value) || len(s) < minRandom {
		t.Fatalf("stand-in %q for %q", s, value)
	}
	public := 0
	for public < min(len(s), len(value)) && s[public] == value[public] {
		public++
	}
	for i := public; i+9 <= len(s) && len(value) <= 256 && imitateJWT([]byte(value)) == ""; i++ {
		if strings.Contains(value, s[i:i+9]) {
			t.Fatalf("stand-in %q has %q of %q", s, s[i:i+9], value)
		}
	}
	for n := 1; n < min(len(s), len(value)); n++ {
		if tail := s[len(s)-n:]; strings.HasPrefix(value, tail) && len(strings.Trim(value, value[:1])) > minRandom {
			t.Fatalf("stand-in %q goes over into %q", s, value)
		}
	}
	mask := maskFor(s, []byte(value))
	if len(mask) != len(value) || bytes.Equal(mask, []byte(value)) {
		t.Fatalf("mask %q for %q", mask, value)
	}
}

func FuzzStandIn(f *testing.F) {
	for _, s := range []string{"", "hunter2", "sk-ant-api03-abcdefghijklmnop", "ghp_" + checked(strings.Repeat("aB3", 10)), "eyJhbGciOiJub25lIn0.e30.AAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("-", 40), "%2f\\u0041 ~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 4096 {
			return
		}
		s := standInFor("NAME", []byte(value), false)
		if value != "" {
			if distinct := len(strings.Join(strings.Split(value, value[:1]), "")); distinct > 0 {
				checkApart(t, s, value)
			}
		}
		if value != "" && s == standInFor("NAME", []byte(value), false) {
			t.Fatalf("%q came twice for %q", s, value)
		}
	})
}
