package credential

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"math/big"
	"slices"
	"strings"
)

const (
	digits    = "0123456789"
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters   = lowerCase + upperCase
	base62    = digits + upperCase + lowerCase
	base64URL = base62 + "-_"

	// minRandom is how many characters of a stand-in must be random: one with fewer
	// could be met by chance.
	minRandom = 16
	// generic is how long a stand-in is where nothing is known of the value, or where
	// the value is too short or too regular to be imitated.
	generic = 40
)

// A shape is a public form of tokens: what is before and after the secret part, and the
// characters of that part.
type shape struct {
	prefix, suffix string
	alphabet       string // "": as the value has them
	length         int    // of the secret part, where the value is not known
	checked        bool   // the last six characters are the CRC-32 of those before, in base 62
}

// shapes are looked through in order: a longer prefix is before a shorter one.
func shapes() []shape {
	return []shape{
		{prefix: "sk-ant-api03-", suffix: "AA", alphabet: base64URL, length: 93},
		{prefix: "sk-ant-oat01-", suffix: "AA", alphabet: base64URL, length: 93},
		{prefix: "sk-ant-ort01-", suffix: "AA", alphabet: base64URL, length: 93},
		{prefix: "sk-ant-admin01-", suffix: "AA", alphabet: base64URL, length: 93},
		{prefix: "sk-or-v1-", length: 64},
		{prefix: "sk-proj-", alphabet: base64URL, length: 156},
		{prefix: "sk-svcacct-", alphabet: base64URL, length: 156},
		{prefix: "sk_live_"},
		{prefix: "sk_test_"},
		{prefix: "rk_live_"},
		{prefix: "sk-", alphabet: base62, length: 48},
		{prefix: "ghp_", alphabet: base62, length: 36, checked: true},
		{prefix: "gho_", alphabet: base62, length: 36, checked: true},
		{prefix: "ghu_", alphabet: base62, length: 36, checked: true},
		{prefix: "ghs_", alphabet: base62, length: 36, checked: true},
		{prefix: "ghr_", alphabet: base62, length: 36, checked: true},
		{prefix: "github_pat_"},
		{prefix: "glpat-", alphabet: base64URL, length: 20},
		{prefix: "gloas-"},
		{prefix: "AIza", alphabet: base64URL, length: 35},
		{prefix: "ya29."},
		{prefix: "xoxb-"},
		{prefix: "xoxp-"},
		{prefix: "xapp-"},
		{prefix: "npm_", alphabet: base62, length: 36, checked: true},
		{prefix: "pypi-", alphabet: base64URL, length: 160},
		{prefix: "hf_", alphabet: letters, length: 34},
		{prefix: "xai-", alphabet: base62, length: 80},
		{prefix: "gsk_", alphabet: base62, length: 52},
		{prefix: "AKIA"},
		{prefix: "ASIA"},
		{prefix: "dop_v1_"},
		{prefix: "lin_api_"},
	}
}

// usual names the shape that a variable of a known name most probably has.
func usual(name string) string {
	switch name {
	case "ANTHROPIC_API_KEY":
		return "sk-ant-api03-"
	case "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN":
		return "sk-ant-oat01-"
	case "OPENAI_API_KEY", "CODEX_API_KEY":
		return "sk-proj-"
	case "OPENROUTER_API_KEY":
		return "sk-or-v1-"
	case "GEMINI_API_KEY", "GOOGLE_API_KEY":
		return "AIza"
	case "GH_TOKEN", "GITHUB_TOKEN":
		return "ghp_"
	case "GITLAB_TOKEN":
		return "glpat-"
	case "NPM_TOKEN", "NODE_AUTH_TOKEN":
		return "npm_"
	case "HF_TOKEN":
		return "hf_"
	}
	return ""
}

// standInFor makes a stand-in for the value of the variable name; value is empty when
// it is not known. A password is not imitated unless it is a known kind of token: the
// lengths of its words would help to guess it, and nothing looks at its shape.
func standInFor(name string, value []byte, password bool) string {
	for try := range 200 {
		s := imitate(value)
		if len(value) == 0 {
			s = guess(name)
		}
		// What stays of the value in an imitation can be too much, each time.
		if s == "" || try >= 50 || password && !knownToken(value) {
			s = random(base62, lengthFor(value))
		}
		if apart([]byte(s), value) {
			return s
		}
	}
	return random(base62, lengthFor(value)) // only where nothing is apart from the value
}

// lengthFor is the length of a stand-in that imitates nothing: the value's where that
// is enough to be unmistakable.
func lengthFor(value []byte) int {
	if len(value) >= minRandom {
		return len(value)
	}
	return generic
}

// knownToken says whether a value is of a public form.
func knownToken(value []byte) bool {
	known := func(sh shape) bool {
		return len(value) >= len(sh.prefix)+minRandom && bytes.HasPrefix(value, []byte(sh.prefix))
	}
	return slices.ContainsFunc(shapes(), known) || imitateJWT(value) != ""
}

// guess is a stand-in of the usual shape of name, "" where none is known.
func guess(name string) string {
	for _, sh := range shapes() {
		if sh.prefix != usual(name) {
			continue
		}
		alphabet := sh.alphabet
		if alphabet == "" {
			alphabet = digits + "abcdef"
		}
		if sh.checked {
			return sh.prefix + checked(random(alphabet, sh.length-6))
		}
		return sh.prefix + random(alphabet, sh.length-len(sh.suffix)) + sh.suffix
	}
	return ""
}

// imitate is a stand-in of the length and the shape of value; "" where that would not
// be random enough.
func imitate(value []byte) string {
	if s := imitateJWT(value); s != "" {
		return s
	}
	sh := shape{}
	for _, known := range shapes() {
		if rest, ok := bytes.CutPrefix(value, []byte(known.prefix)); ok && len(rest) >= minRandom {
			sh = known
			break
		}
	}
	secret := string(value[len(sh.prefix):])
	if s, ok := strings.CutSuffix(secret, sh.suffix); ok && len(s) >= minRandom {
		secret = s
	} else {
		sh.suffix = ""
	}
	if sh.checked && checkedRight(secret) {
		return sh.prefix + checked(random(base62, len(secret)-6))
	}
	if sh.alphabet == "" || strings.Trim(secret, sh.alphabet) != "" {
		s, ok := likeSegments(secret)
		if !ok {
			return ""
		}
		return sh.prefix + s + sh.suffix
	}
	return sh.prefix + random(sh.alphabet, len(secret)) + sh.suffix
}

// likeSegments imitates a text of segments between other characters than letters and
// digits, which stay: each is of random characters of the kinds that it has. ok says
// that enough of it is random.
func likeSegments(text string) (s string, ok bool) {
	var b strings.Builder
	count, distinct := 0, 0
	for text != "" {
		n := len(text) - len(strings.TrimLeft(text, base62))
		if n == 0 {
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		alphabet := kinds(text[:n])
		b.WriteString(random(alphabet, n))
		count, distinct = count+n, max(distinct, len(alphabet))
		text = text[n:]
	}
	return b.String(), count >= minRandom && distinct >= len(digits)
}

// kinds is the alphabet of a segment: the kinds of characters that it has.
func kinds(segment string) string {
	for _, hex := range []string{digits + "abcdef", digits + "ABCDEF"} {
		if len(segment) >= 4 && strings.ContainsAny(segment, digits) && strings.Trim(segment, hex) == "" && strings.Trim(segment, digits) != "" {
			return hex
		}
	}
	if len(segment) == minRandom && strings.Trim(segment, upperCase+"234567") == "" {
		return upperCase + "234567" // the identifiers of AWS
	}
	alphabet := ""
	for _, kind := range []string{digits, upperCase, lowerCase} {
		if strings.ContainsAny(segment, kind) {
			alphabet += kind
		}
	}
	return alphabet
}

// random is n characters of alphabet, each as probable as the others.
func random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet)
	var pool [64]byte
	for len(out) < n {
		_, _ = rand.Read(pool[:]) // never fails
		for _, r := range pool {
			if int(r) < limit && len(out) < n {
				out = append(out, alphabet[int(r)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// checked adds the checksum that clients of GitHub and npm look at.
func checked(s string) string {
	sum := big.NewInt(int64(crc32.ChecksumIEEE([]byte(s)))).Text(62)
	// big.Int has lower case before upper case; the tokens have it the other way round.
	sum = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, sum)
	return s + strings.Repeat("0", 6-len(sum)) + sum
}

func checkedRight(s string) bool {
	return len(s) > 6+minRandom && checked(s[:len(s)-6]) == s
}

// imitateJWT is a token of three parts as long as those of value, whose first is a
// header that no verifier accepts; "" when value is no such token.
func imitateJWT(value []byte) string {
	parts := strings.Split(string(value), ".")
	if len(parts) != 3 || len(parts[2]) < minRandom {
		return ""
	}
	var sizes [3]int
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil || i < 2 && !json.Valid(b) {
			return ""
		}
		sizes[i] = len(b)
	}
	header, ok := padJSON(`{"alg":"none"`, sizes[0])
	if !ok {
		return ""
	}
	claims, ok := padJSON(`{"exp":4102444800,"jti":"`+random(base62, 22)+`"`, sizes[1])
	if !ok {
		claims, _ = padJSON("{", sizes[1])
	}
	signature := make([]byte, sizes[2])
	_, _ = rand.Read(signature) // never fails
	enc := base64.RawURLEncoding
	return enc.EncodeToString(header) + "." + enc.EncodeToString(claims) + "." + enc.EncodeToString(signature)
}

// padJSON closes an object with spaces before the brace, so that it has size bytes.
func padJSON(object string, size int) ([]byte, bool) {
	if size < len(object)+1 {
		return nil, false
	}
	return []byte(object + strings.Repeat(" ", size-len(object)-1) + "}"), true
}

// apart says whether a stand-in has nothing of the value but what is public: they are
// not the same, share no run of characters but a beginning and an end that known tokens
// have, and neither goes over into the other, so that what is put in the place of a
// value never makes another one with what stands beside it.
func apart(s, value []byte) bool {
	if len(value) == 0 {
		return true
	}
	if bytes.Contains(s, value) || bytes.Contains(value, s) {
		return false
	}
	same := 0
	for same < min(len(s), len(value)) && s[same] == value[same] {
		same++
	}
	for n := 1; n < min(len(s), len(value)); n++ {
		if bytes.HasPrefix(value, s[len(s)-n:]) || n > same && bytes.HasSuffix(value, s[:n]) {
			return false
		}
	}
	own := s[same:]
	if imitateJWT(value) != "" { // of which all but the signature is public
		own = s[bytes.LastIndexByte(s, '.')+1:]
	}
	return commonRun(own, value) < sharedRun(len(value))
}

// sharedRun is how many characters in a row a stand-in may have of a value of that
// length: about what chance brings about.
func sharedRun(length int) int {
	if length <= 256 {
		return 7
	}
	return 13
}

// commonRun is the length of the longest run of s that is in value, at most 16.
func commonRun(s, value []byte) int {
	most := 0
	for i := range s {
		for most < 16 && i+most < len(s) && bytes.Contains(value, s[i:i+most+1]) {
			most++
		}
	}
	return most
}

// maskFor is a text as long as value that takes its place in answers: the stand-in, or
// what can be made of it where it has another length.
func maskFor(standIn string, value []byte) []byte {
	if len(standIn) == len(value) {
		return []byte(standIn)
	}
	for shift := range len(standIn) {
		s := standIn[shift:] + standIn[:shift]
		mask := bytes.Repeat([]byte(s), len(value)/len(s)+1)[:len(value)]
		if apart(mask, value) {
			return mask
		}
	}
	return bytes.Repeat([]byte("*"), len(value))
}
