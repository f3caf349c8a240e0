package login

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func jwt(t testing.TB, claims map[string]any) string {
	t.Helper()
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + enc.EncodeToString(b) + "." + enc.EncodeToString([]byte(strings.Repeat("SIGNATURE", 30)))
}

var auth = map[string]any{"chatgpt_plan_type": "pro", "chatgpt_account_id": "acc-1", "user_id": "user-SECRET"}

func codexFile(t testing.TB) []byte {
	access := jwt(t, map[string]any{"exp": 2000000000, "sub": "who-SECRET", authClaim: auth})
	b, err := json.Marshal(map[string]any{
		"auth_mode": "chatgpt", "OPENAI_API_KEY": nil, "last_refresh": "2026-01-01T00:00:00Z", "agent_identity": "kept-SECRET",
		"tokens": map[string]any{"id_token": access, "access_token": access, "refresh_token": "rt_SECRET-refresh", "account_id": "acc-1", "later": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const claudeFile = `{"claudeAiOauth":{"accessToken":"sk-ant-oat01-SECRET-access","refreshToken":"sk-ant-ort01-SECRET-refresh",` +
	`"expiresAt":1900000000000,"scopes":["user:inference","user:profile"],"subscriptionType":"max","later":{"x":1}},"mcpOAuth":{"s":"SECRET-mcp"}}`

// The root package names the same logins.
func TestNames(t *testing.T) {
	if !slices.Equal(Names(), belljar.Logins()) {
		t.Errorf("%v, %v", Names(), belljar.Logins())
	}
	for _, n := range Names() {
		if why, _ := Refused(n); why != "" {
			t.Errorf("%s is known and refused", n)
		}
	}
}

// What is written has the new tokens, and everything else as it was.
func TestWrite(t *testing.T) {
	now := time.Unix(1800000000, 0)
	for name, file := range map[string][]byte{"claude": []byte(claudeFile), "codex": codexFile(t)} {
		k := Find(name)
		old, err := k.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		next, err := k.Answer(old, 200, []byte(`{"access_token":"new-access","refresh_token":"new-refresh","expires_in":3600}`), now)
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.Write(file, next, now)
		if err != nil {
			t.Fatal(err)
		}
		again, err := k.Read(b)
		if err != nil || again.Access != "new-access" || again.Refresh != "new-refresh" {
			t.Errorf("%s: %v %v", name, again, err)
		}
		if name == "claude" && !again.Expires.Equal(now.Add(time.Hour)) {
			t.Errorf("expires %v", again.Expires)
		}
		var was, is map[string]json.RawMessage
		if json.Unmarshal(file, &was) != nil || json.Unmarshal(b, &is) != nil || len(was) != len(is) {
			t.Errorf("%s: %s", name, b)
		}
		for _, kept := range map[string][]string{"claude": {`"later": {`, "SECRET-mcp", `"subscriptionType": "max"`}, "codex": {`"later": 1`, "kept-SECRET", `"account_id": "acc-1"`}}[name] {
			if !strings.Contains(string(b), kept) {
				t.Errorf("%s: %s is gone: %s", name, kept, b)
			}
		}
	}
}

// Inside stands nothing of a token, and of what a token says only what the agent reads.
func TestStandIn(t *testing.T) {
	for name, file := range map[string][]byte{"claude": []byte(claudeFile), "codex": codexFile(t)} {
		k := Find(name)
		real, err := k.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.StandIn(file, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		access := s.Access
		if access == "" {
			access = "stand-in-of-the-access-token"
		}
		inside := s.With(access)
		stood, err := k.Read([]byte(inside))
		if err != nil {
			t.Fatalf("%s: its program could not read it: %v\n%s", name, err, inside)
		}
		if stood.Access != access || stood.Refresh != Refresh(access, s.Refresh) || len(stood.Refresh) < 40 {
			t.Errorf("%s: %+v", name, stood)
		}
		if !stood.Expires.After(time.Now().Add(24 * 365 * time.Hour)) {
			t.Errorf("%s: it expires %v", name, stood.Expires)
		}
		if name == "codex" && (len(access) < len(real.Access) || !strings.Contains(string(claims(access)[authClaim]), "acc-1") || !strings.Contains(string(claims(s.ID)[authClaim]), "pro")) {
			t.Errorf("%q %q", access, s.ID)
		}
		decoded := inside
		for _, part := range strings.FieldsFunc(inside, func(r rune) bool { return strings.ContainsRune("\".,: \n", r) }) {
			if b, err := base64.RawURLEncoding.DecodeString(part); err == nil {
				decoded += string(b)
			}
		}
		for _, secret := range []string{"SECRET", "SIGNATURE", real.Access, real.Refresh} {
			if strings.Contains(decoded, secret) {
				t.Errorf("%s: %s is inside: %s", name, secret, decoded)
			}
		}
	}
}

func TestAnswer(t *testing.T) {
	k := Find("claude")
	old := Tokens{Access: "a", Refresh: "r"}
	for _, c := range []struct {
		status int
		body   string
		ended  bool
		ok     bool
	}{
		{200, `{"access_token":"b"}`, false, true},
		{200, `{}`, false, false},
		{200, `nonsense`, false, false},
		{400, `{"error":"invalid_grant"}`, true, false},
		{401, `{"error":{"code":"refresh_token_reused"}}`, true, false},
		{404, `{"type":"error","error":{"type":"not_found_error"}}`, true, false},
		{400, `{"error":"invalid_request"}`, false, false},
		{429, `{"error":"rate_limited"}`, false, false},
		{500, `{"error":"invalid_grant"}`, false, false},
	} {
		next, err := k.Answer(old, c.status, []byte(c.body), time.Now())
		if (err == nil) != c.ok || errors.Is(err, ErrEnded) != c.ended {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		if c.ok && (next.Access != "b" || next.Refresh != "r") {
			t.Errorf("%+v", next)
		}
	}
}

// Where it is asked whether a token is accepted is one of the hosts that it goes to, and a
// token that may not ask there does not.
func TestProbe(t *testing.T) {
	for name, file := range map[string]string{"claude": claudeFile, "codex": string(codexFile(t))} {
		k := Find(name)
		tok, err := k.Read([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		h := k.ProbeHeader(tok)
		if !k.MayProbe(tok) || h["Authorization"] != "Bearer "+tok.Access || (h["ChatGPT-Account-ID"] == "acc-1") != (name == "codex") || strings.Contains(fmt.Sprint(h), tok.Refresh) {
			t.Errorf("%s: %v", name, h)
		}
	}
	k := Find("claude")
	tok, err := k.Read([]byte(strings.Replace(claudeFile, "user:profile", "user:other", 1)))
	if err != nil || k.MayProbe(tok) {
		t.Errorf("%v %v", tok.scopes, err)
	}
	k.Probe = Endpoint{}
	if k.Scope = ""; k.MayProbe(tok) {
		t.Error("nowhere to ask")
	}
}

func TestAsked(t *testing.T) {
	for body, want := range map[string]string{
		`{"grant_type":"refresh_token","refresh_token":"x"}`:      "x",
		`grant_type=refresh_token&refresh_token=x&client_id=y`:    "x",
		`{"grant_type":"authorization_code","refresh_token":"x"}`: "",
		`grant_type=authorization_code&code=x`:                    "",
		``:                                                        "",
		`[]`:                                                      "",
	} {
		if got := Asked([]byte(body)); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func FuzzAsked(f *testing.F) {
	f.Add([]byte(`{"grant_type":"refresh_token","refresh_token":"x"}`))
	f.Add([]byte(`grant_type=refresh_token&refresh_token=%`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := Asked(body); len(got) > 3*len(body) {
			t.Errorf("%q from %q", got, body)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(claudeFile))
	f.Add(codexFile(f))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, k := range Kinds() {
			tok, err := k.Read(file)
			if err != nil {
				continue
			}
			b, err := k.Write(file, tok, time.Now())
			if err != nil {
				t.Fatalf("%s: read and not written: %v", k.Name, err)
			}
			if again, err := k.Read(b); err != nil || again.Access != tok.Access || again.Refresh != tok.Refresh {
				t.Errorf("%s: %v", k.Name, err)
			}
			s, err := k.StandIn(file, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if len(tok.Refresh) > 24 && strings.Contains(s.With("stand-in"), tok.Refresh) {
				t.Errorf("%s: the refresh token is inside", k.Name)
			}
		}
	})
}
