package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// Bounds of the lines that agents' hooks submit: so many a second, a long one counting as
// several, and one judged at a time.
const (
	lineRate, lineBurst = 20, 200
	lineUnit            = 8 << 10 // bytes that count as one line
	lineTime            = 10 * time.Second
	maxLineBody         = 6*agenthook.MaxLine + 8<<10 // as JSON
)

// lines bounds what is judged for hooks.
type lines struct {
	mu   sync.Mutex
	rate bucket
}

// take counts a line of n bytes; false is one too many.
func (l *lines) take(n int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate.burst == 0 {
		l.rate = bucket{rate: lineRate, burst: lineBurst}
	}
	for range 1 + n/lineUnit {
		if !l.rate.take(now) {
			return false
		}
	}
	return true
}

// line answers a hook: what is submitted is a line, what comes back is a verdict. Anything
// inside may do so; nothing is allowed by it that was not allowed before.
func (h *page) line(r *http.Request) *httpproxy.Reply {
	refuse := func(status int, why string) *httpproxy.Reply {
		return &httpproxy.Reply{Status: status, Reason: "not judged: " + why, Body: "belljar does not judge this line: " + why + "\n"}
	}
	if h.g.judgeLine == nil {
		return refuse(http.StatusNotFound, "the policy has no rules for commands")
	}
	c, err := h.readCall(r)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	if !h.g.lines.take(len(c.Line), time.Now()) {
		return refuse(http.StatusTooManyRequests, fmt.Sprintf("more than %d lines a second", lineRate))
	}
	return jsonReply(h.g.judgeLine(h.g.context(), c))
}

func (h *page) readCall(r *http.Request) (c agenthook.Call, err error) {
	if h.in != nil {
		_ = h.in.SetReadDeadline(time.Now().Add(lineTime))
		defer h.in.SetReadDeadline(time.Time{})
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxLineBody+1))
	switch {
	case err != nil:
		return c, errors.New("it broke off")
	case len(b) > maxLineBody:
		return c, fmt.Errorf("more than %d bytes", maxLineBody)
	}
	return parseCall(b)
}

func parseCall(b []byte) (c agenthook.Call, err error) {
	if err := json.Unmarshal(b, &c); err != nil {
		return c, errors.New("it is not JSON of the form {\"agent\": …, \"line\": …, \"dir\": …}")
	}
	return c, c.Check()
}
