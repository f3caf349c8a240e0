package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
)

// A Login is one whose tokens stay outside. Inside are stand-ins, and what asks its
// provider for new ones is answered here: nothing of that leaves.
type Login struct {
	Credential string // its name
	Access     string // the stand-ins
	Stand      *login.Stand
	Endpoints  []login.Endpoint
}

const (
	// maxAsk bounds a request for new tokens.
	maxAsk = 64 << 10
	// standInAge is how long stand-ins are said to be good, in seconds: nobody has to ask
	// for others.
	standInAge = 365 * 24 * 3600
)

// login is whose endpoint a request is for, nil for none.
func (g *Gateway) login(t target, method, path string) *Login {
	for i := range g.logins {
		for _, e := range g.logins[i].Endpoints {
			if t.host == e.Host && t.port == 443 && path == e.Path && method == http.MethodPost {
				return &g.logins[i]
			}
		}
	}
	return nil
}

// tokens answers in place of a provider's token endpoint.
type tokens struct {
	l *Login
	x *exchange
}

// RoundTrip implements [http.RoundTripper]. It sends nothing.
func (h *tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	var err error
	if r.Body != nil {
		body, err = io.ReadAll(io.LimitReader(r.Body, maxAsk+1))
		_ = r.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	asked := ""
	if len(body) <= maxAsk {
		asked = login.Asked(body)
	}
	if asked == "" || asked != login.Refresh(h.l.Access, h.l.Stand.Refresh) {
		reason := h.x.t.name() + ": belljar answers here for the login of " + h.l.Credential + ", and takes its refresh token only: another login is made outside of the sandbox"
		if instead := login.Outside(h.x.t.host, r.URL.Path); instead != "" {
			reason += " (" + instead + ")"
		}
		return nil, &refusedError{belljar.Decision{Reason: reason}}
	}
	answer := map[string]any{
		"access_token": h.l.Access, "refresh_token": asked, "expires_in": standInAge, "token_type": "Bearer", "scope": strings.Join(h.l.Stand.Scopes, " "),
	}
	if h.l.Stand.ID != "" {
		answer["id_token"] = h.l.Stand.ID
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(b)),
		Header: http.Header{
			"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "Content-Length": {strconv.Itoa(len(b))},
		},
		Body: io.NopCloser(bytes.NewReader(b)),
	}, nil
}
