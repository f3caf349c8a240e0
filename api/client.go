package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
)

// A Client speaks to one running sandbox. It is safe for concurrent use. Who answers, and
// who starts something, is the process that speaks.
type Client struct {
	name string
	dir  string
	http *http.Client
	note func(words string, late bool) // of [Client.Take]
}

// Dial makes a client for the sandbox name whose private folder is dir. Nothing is
// connected before it is used.
func Dial(name, dir string) *Client {
	return &Client{name: name, dir: dir, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, dir) },
		},
	}}
}

// Questions is [Control] Questions.
func (c *Client) Questions(ctx context.Context) ([]approval.Question, error) {
	var q Questions
	err := c.do(ctx, "GET", "/v1/questions", nil, &q)
	return q.Questions, err
}

// Answer is [Control] Answer; a.By is not sent.
func (c *Client) Answer(ctx context.Context, id string, a approval.Answer) (Granted, error) {
	var g Granted
	err := c.do(ctx, "POST", "/v1/questions/"+url.PathEscape(id), Answer{Allow: a.Allow, Scope: a.Scope}, &g)
	return g, err
}

// Allow is [Control] Allow; by is not sent.
func (c *Client) Allow(ctx context.Context, rule belljar.NetRule, _ string) error {
	return c.do(ctx, "POST", "/v1/rules", rule, &struct{}{})
}

func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	fail := func(kind belljar.Kind, err error, hint string) error {
		return &belljar.Error{Op: "ask sandbox", ID: c.name, Kind: kind, Err: err, Hint: hint}
	}
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return fail(belljar.KindInternal, err, "")
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://sandbox"+path, &b)
	if err != nil {
		return fail(belljar.KindInternal, err, "")
	}
	resp, err := c.http.Do(req)
	switch {
	case err != nil && ended(err):
		return fail(belljar.KindNoSuch, errors.New("it has ended"), "")
	case err != nil:
		hint, err := unanswered(err)
		return fail(belljar.KindInternal, err, hint)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		hint, err := unanswered(err)
		return fail(belljar.KindInternal, err, hint)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, into); err != nil {
			return fail(belljar.KindInternal, err, "is it another version of belljar?")
		}
		return nil
	}
	return faultError(c.name, raw)
}
