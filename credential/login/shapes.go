package login

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// far is when stand-ins expire: the keeper cares for the real tokens' expiry, and an
// agent that never sees one never asks.
const far = 4102444800 // 2100

// claudeShape is {"claudeAiOauth": {"accessToken", "refreshToken", "expiresAt", …}}.
type claudeShape struct{}

const claudeKey = "claudeAiOauth"

type claudeLogin struct {
	Access         string   `json:"accessToken"`
	Refresh        string   `json:"refreshToken"`
	Expires        float64  `json:"expiresAt"` // milliseconds
	Scopes         []string `json:"scopes"`
	Client         string   `json:"clientId"`
	RefreshExpires float64  `json:"refreshTokenExpiresAt"`
}

func (claudeShape) read(file map[string]json.RawMessage) (Tokens, error) {
	var l claudeLogin
	if json.Unmarshal(file[claudeKey], &l) != nil || l.Access == "" || l.Refresh == "" {
		return Tokens{}, errors.New("it holds no login with a subscription")
	}
	t := Tokens{Access: l.Access, Refresh: l.Refresh, scopes: l.Scopes, client: l.Client}
	if l.Expires > 0 && l.Expires < 1<<53 {
		t.Expires = time.UnixMilli(int64(l.Expires))
	}
	return t, nil
}

func (claudeShape) write(file map[string]json.RawMessage, t Tokens, _ time.Time) error {
	fields := map[string]any{"accessToken": t.Access, "refreshToken": t.Refresh, "scopes": t.scopes}
	if !t.Expires.IsZero() {
		fields["expiresAt"] = t.Expires.UnixMilli()
	}
	if t.refreshExpires > 0 {
		fields["refreshTokenExpiresAt"] = t.refreshExpires
	}
	l, err := merge(file[claudeKey], fields)
	file[claudeKey] = l
	return err
}

func (claudeShape) standIn(file map[string]json.RawMessage, t Tokens, _ time.Time) (Stand, error) {
	l := map[string]any{"accessToken": AccessMark, "refreshToken": RefreshMark, "expiresAt": int64(far) * 1000, "scopes": t.scopes}
	var old map[string]json.RawMessage
	_ = json.Unmarshal(file[claudeKey], &old) // it was read before
	for _, name := range []string{"subscriptionType", "rateLimitTier"} {
		if s, ok := word(old[name]); ok {
			l[name] = s
		}
	}
	b, err := json.MarshalIndent(map[string]any{claudeKey: l}, "", "  ")
	return Stand{File: string(b), Refresh: refreshShape(t.Refresh), Scopes: t.scopes}, err
}

func (claudeShape) request(k *Kind, t Tokens) any {
	client := t.client
	if client == "" {
		client = k.Client
	}
	r := map[string]any{"grant_type": "refresh_token", "refresh_token": t.Refresh, "client_id": client}
	if len(t.scopes) > 0 {
		r["scope"] = strings.Join(t.scopes, " ")
	}
	return r
}

// codexShape is {"auth_mode", "tokens": {"id_token", "access_token", "refresh_token",
// "account_id"}, "last_refresh"}.
type codexShape struct{}

type codexTokens struct {
	ID      string `json:"id_token"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Account string `json:"account_id"`
}

// authClaim is the claim that says which account of the provider's a token is for.
const authClaim = "https://api.openai.com/auth"

func (codexShape) read(file map[string]json.RawMessage) (Tokens, error) {
	var l codexTokens
	if json.Unmarshal(file["tokens"], &l) != nil || l.Access == "" || l.Refresh == "" {
		return Tokens{}, errors.New("it holds no login with ChatGPT")
	}
	if s, _ := word(file["OPENAI_API_KEY"]); s != "" {
		return Tokens{}, errors.New("it holds a key: codex uses that, and not the login")
	}
	return Tokens{Access: l.Access, Refresh: l.Refresh, ID: l.ID, Expires: expiryOf(l.Access), account: l.Account}, nil
}

func (codexShape) write(file map[string]json.RawMessage, t Tokens, now time.Time) error {
	fields := map[string]any{"access_token": t.Access, "refresh_token": t.Refresh}
	if t.ID != "" {
		fields["id_token"] = t.ID
	}
	l, err := merge(file["tokens"], fields)
	if err != nil {
		return err
	}
	file["tokens"] = l
	file["last_refresh"], err = json.Marshal(now.UTC().Format(time.RFC3339Nano))
	return err
}

func (codexShape) standIn(file map[string]json.RawMessage, t Tokens, now time.Time) (Stand, error) {
	var l codexTokens
	_ = json.Unmarshal(file["tokens"], &l) // it was read before
	s := Stand{Refresh: refreshShape(t.Refresh), ID: codexToken(t.ID), Access: codexToken(t.Access)}
	tokens := map[string]any{"id_token": IDMark, "access_token": AccessMark, "refresh_token": RefreshMark}
	if len(l.Account) <= 128 && l.Account != "" {
		tokens["account_id"] = l.Account
	}
	out := map[string]any{"OPENAI_API_KEY": nil, "tokens": tokens, "last_refresh": now.UTC().Format(time.RFC3339)}
	if mode, ok := word(file["auth_mode"]); ok {
		out["auth_mode"] = mode
	}
	b, err := json.MarshalIndent(out, "", "  ")
	s.File = string(b)
	return s, err
}

func (codexShape) request(k *Kind, t Tokens) any {
	return map[string]any{"client_id": k.Client, "grant_type": "refresh_token", "refresh_token": t.Refresh}
}

// codexToken is a token for nobody with those claims of token that codex reads.
func codexToken(token string) string {
	auth := map[string]any{}
	var all map[string]json.RawMessage
	_ = json.Unmarshal(claims(token)[authClaim], &all) // none are none
	for _, name := range []string{"chatgpt_plan_type", "chatgpt_account_id"} {
		if s, ok := word(all[name]); ok {
			auth[name] = s
		}
	}
	payload, err := json.Marshal(map[string]any{"exp": far, "jti": rand.Text(), authClaim: auth})
	if err != nil {
		return ""
	}
	parts := strings.Split(token, ".")
	payload = append(payload[:len(payload)-1], strings.Repeat(" ", max(0, partSize(parts, 1)-len(payload)))+"}"...)
	signature := make([]byte, max(64, partSize(parts, 2)))
	_, _ = rand.Read(signature) // never fails
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + enc.EncodeToString(payload) + "." + enc.EncodeToString(signature)
}

// partSize is how many bytes a part of a token stands for.
func partSize(parts []string, i int) int {
	if len(parts) != 3 {
		return 0
	}
	return base64.RawURLEncoding.DecodedLen(len(parts[i]))
}

// word is a short text as it may stand inside.
func word(raw json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(raw, &s) != nil || s == "" || len(s) > 128 {
		return "", false
	}
	return s, true
}
