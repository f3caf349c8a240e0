package login

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MaxFile bounds a login file, MaxAnswer what a provider answers with.
const (
	MaxFile   = 1 << 20
	MaxAnswer = 256 << 10
	maxToken  = 16 << 10
)

// Tokens are a login's. They are secrets.
type Tokens struct {
	Access, Refresh string
	ID              string    // of codex: who the user is, no token for requests
	Expires         time.Time // of Access; zero where nobody knows
	scopes          []string
	client          string
	account         string
	refreshExpires  int64
}

// A shape is how one program writes its login.
type shape interface {
	read(file map[string]json.RawMessage) (Tokens, error)
	write(file map[string]json.RawMessage, t Tokens, now time.Time) error
	standIn(file map[string]json.RawMessage, t Tokens, now time.Time) (Stand, error)
	request(k *Kind, t Tokens) any
}

// Read takes the tokens out of a login file. An error says what is missing, without
// anything of the file in it.
func (k *Kind) Read(file []byte) (Tokens, error) {
	m, err := object(file)
	if err != nil {
		return Tokens{}, err
	}
	t, err := k.shape.read(m)
	if err != nil {
		return Tokens{}, err
	}
	if !wellFormed(t.Access, t.Refresh) {
		return Tokens{}, errors.New("a token in it is none")
	}
	return t, nil
}

// wellFormed says whether all are tokens as they may stand in a header, or empty.
func wellFormed(tokens ...string) bool {
	return !slices.ContainsFunc(tokens, func(s string) bool {
		return len(s) > maxToken || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	})
}

// Write is file with the tokens t, everything else as it was.
func (k *Kind) Write(file []byte, t Tokens, now time.Time) ([]byte, error) {
	m, err := object(file)
	if err != nil {
		return nil, err
	}
	if err := k.shape.write(m, t, now); err != nil {
		return nil, err
	}
	return json.MarshalIndent(m, "", "  ")
}

func object(file []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if len(file) > MaxFile {
		return nil, fmt.Errorf("it has more than %d KiB", MaxFile>>10)
	}
	if json.Unmarshal(file, &m) != nil || m == nil {
		return nil, errors.New("it is no JSON object")
	}
	return m, nil
}

// A Stand is what is inside in place of a login.
type Stand struct {
	// File is the login file, with [AccessMark], [RefreshMark] and [IDMark] where tokens
	// stand.
	File string `json:"file"`
	// Access is the stand-in of the access token where its claims are read inside; empty
	// where any of its shape will do.
	Access string `json:"access,omitempty"`
	// ID takes the place of the token that says who the user is.
	ID string `json:"id,omitempty"`
	// Refresh says how long the refresh token is, and how it begins.
	Refresh RefreshShape `json:"refresh"`
	Scopes  []string     `json:"scopes,omitempty"`
}

// A RefreshShape is the shape of a refresh token.
type RefreshShape struct {
	Prefix string `json:"prefix,omitempty"`
	Length int    `json:"length"`
}

// The marks stand in [Stand.File] where tokens are put.
const (
	AccessMark  = "@belljar-access@"
	RefreshMark = "@belljar-refresh@"
	IDMark      = "@belljar-id@"
)

// StandIn is what stands inside for the login in file. No token, and of claims only what
// the program needs, is in it.
func (k *Kind) StandIn(file []byte, now time.Time) (Stand, error) {
	t, err := k.Read(file)
	if err != nil {
		return Stand{}, err
	}
	m, err := object(file)
	if err != nil {
		return Stand{}, err
	}
	return k.shape.standIn(m, t, now)
}

// With is the login file with the stand-in access in it.
func (s *Stand) With(access string) string {
	return strings.NewReplacer(AccessMark, access, RefreshMark, Refresh(access, s.Refresh), IDMark, s.ID).Replace(s.File)
}

// Refresh is the stand-in of a refresh token: made of that of the access token, so that
// nobody has to keep it.
func Refresh(access string, s RefreshShape) string {
	var b strings.Builder
	b.WriteString(s.Prefix)
	length := min(max(s.Length, len(s.Prefix)+43), maxToken)
	for i := byte(0); b.Len() < length; i++ {
		h := hmac.New(sha256.New, []byte(access))
		h.Write([]byte{'r', i})
		b.WriteString(base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
	}
	return b.String()[:length]
}

// refreshShape is the shape of a refresh token: of its beginning what is public.
func refreshShape(token string) RefreshShape {
	for _, p := range []string{"sk-ant-ort01-", "rt_"} {
		if strings.HasPrefix(token, p) {
			return RefreshShape{p, len(token)}
		}
	}
	return RefreshShape{"", len(token)}
}

// Request is the body, JSON, with which the next tokens are asked for.
func (k *Kind) Request(t Tokens) ([]byte, error) { return json.Marshal(k.shape.request(k, t)) }

// ErrEnded says that the provider does not give further tokens for a login: somebody has
// to log in again.
var ErrEnded = errors.New("the provider has ended it")

// Answer takes the next tokens out of what the provider answered. What it does not say
// stays as in t. The error says nothing of the body but its code.
func (k *Kind) Answer(t Tokens, status int, body []byte, now time.Time) (Tokens, error) {
	var a struct {
		Access         string          `json:"access_token"`
		Refresh        string          `json:"refresh_token"`
		ID             string          `json:"id_token"`
		ExpiresIn      float64         `json:"expires_in"`
		RefreshExpires float64         `json:"refresh_token_expires_in"`
		Scope          string          `json:"scope"`
		Error          json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(body, &a)
	if status != 200 {
		if code := errorCode(a.Error); ended(status, code) {
			return t, ErrEnded
		}
		return t, fmt.Errorf("the provider answered with status %d", status)
	}
	if err != nil || a.Access == "" {
		return t, errors.New("the provider answered without a token")
	}
	if !wellFormed(a.Access, a.Refresh, a.ID) {
		return t, errors.New("a token in the provider's answer is none")
	}
	t.Access = a.Access
	if a.Refresh != "" {
		t.Refresh = a.Refresh
	}
	if a.ID != "" {
		t.ID = a.ID
	}
	t.Expires = expiryOf(a.Access)
	if a.ExpiresIn > 0 && a.ExpiresIn < math.MaxInt32 {
		t.Expires = now.Add(time.Duration(a.ExpiresIn) * time.Second)
	}
	if a.RefreshExpires > 0 && a.RefreshExpires < math.MaxInt32 {
		t.refreshExpires = now.Add(time.Duration(a.RefreshExpires) * time.Second).UnixMilli()
	}
	if a.Scope != "" {
		t.scopes = strings.Fields(a.Scope)
	}
	return t, nil
}

// errorCode is the code of an error as RFC 6749 has it, or as providers nest it.
func errorCode(raw json.RawMessage) string {
	var code string
	if json.Unmarshal(raw, &code) == nil {
		return code
	}
	var o struct{ Code, Type string }
	_ = json.Unmarshal(raw, &o)
	if o.Code != "" {
		return o.Code
	}
	return o.Type
}

func ended(status int, code string) bool {
	switch code {
	case "invalid_grant", "refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated", "not_found_error":
		return status >= 400 && status < 500
	}
	return false
}

// Asked is the refresh token in the body of a request for the next tokens, JSON or form;
// empty when it asks for anything else.
func Asked(body []byte) string {
	var r struct {
		Grant   string `json:"grant_type"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(body, &r) != nil {
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return ""
		}
		r.Grant, r.Refresh = v.Get("grant_type"), v.Get("refresh_token")
	}
	if r.Grant != "refresh_token" {
		return ""
	}
	return r.Refresh
}

// claims are those of a token of three parts, nil of any other.
func claims(token string) map[string]json.RawMessage {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var m map[string]json.RawMessage
	if err != nil || json.Unmarshal(b, &m) != nil {
		return nil
	}
	return m
}

// expiryOf is when a token says that it expires.
func expiryOf(token string) time.Time {
	var at float64
	if json.Unmarshal(claims(token)["exp"], &at) != nil || at <= 0 || at > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(at), 0)
}

// merge is the object raw with fields in it.
func merge(raw json.RawMessage, fields map[string]any) (json.RawMessage, error) {
	m := map[string]json.RawMessage{}
	if len(raw) > 0 && json.Unmarshal(raw, &m) != nil {
		return nil, errors.New("the login in it is no object")
	}
	add := map[string]json.RawMessage{}
	for name, v := range fields {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		add[name] = b
	}
	maps.Copy(m, add)
	return json.Marshal(m)
}
