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
// several before it is read, so that what is held of them is bounded as well.
const (
	lineRate, lineBurst = 20, 200
	lineUnit            = 16 << 10 // bytes of a body that count as one line
	lineTime            = 10 * time.Second
	maxLineBody         = 6*agenthook.MaxLine + 8<<10 // as JSON
)

// lines bounds what is judged for hooks.
type lines struct {
	mu   sync.Mutex
	rate bucket
}

// take counts a line whose body has n bytes; false is one too many.
func (l *lines) take(n int64, now time.Time) bool {
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
	switch n := r.ContentLength; {
	case n < 0:
		return refuse(http.StatusLengthRequired, "its length is not told")
	case n > maxLineBody:
		return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d bytes", maxLineBody))
	case !h.g.lines.take(n, time.Now()):
		return refuse(http.StatusTooManyRequests, fmt.Sprintf("more than %d lines a second", lineRate))
	}
	c, err := h.readCall(r)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return jsonReply(h.g.judgeLine(h.g.context(), c))
}

func (h *page) readCall(r *http.Request) (c agenthook.Call, err error) {
	if h.in != nil {
		_ = h.in.SetReadDeadline(time.Now().Add(lineTime))
		defer h.in.SetReadDeadline(time.Time{})
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxLineBody))
	if err != nil {
		return c, errors.New("it broke off")
	}
	return parseCall(b)
}

func parseCall(b []byte) (c agenthook.Call, err error) {
	if err := json.Unmarshal(b, &c); err != nil {
		return c, errors.New("it is not JSON of the form {\"agent\": …, \"line\": …, \"dir\": …}")
	}
	return c, c.Check()
}
