package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/llm"
)

// An llmSocket is a WebSocket to a model: every message that asks is judged as a request
// would be, and what the server says was used is counted.
type llmSocket struct {
	io.ReadCloser // from the server
	w             io.Writer
	c             *llmCall
	body          *llmBody // what is held of the message that is read
	client        llm.Client

	mu     sync.Mutex
	server llm.Server
	usage  *llm.Usage  // of the call that is answered
	call   *socketCall // under way; nil: none
	total  belljar.LLMSpent
	last   []byte // the last words for the client; nil while it goes on
	closed bool
}

// A socketCall is a call under way. There is one at a time: what the server says is
// about it and about no other, an error too.
type socketCall struct {
	hold          *llm.Hold
	input, output int64
	began         time.Time
}

// socket sends the request for a WebSocket on, and judges what passes on it then.
func (c *llmCall) socket(r *http.Request) (*http.Response, error) {
	s := &llmSocket{c: c}
	c.ended = s.ended
	resp, err := c.exchange.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	w, ok := resp.Body.(io.Writer)
	if !ok || len(resp.Header["Sec-Websocket-Extensions"]) > 0 {
		_ = resp.Body.Close()
		return nil, &replyError{faultReply(errors.New("the server speaks an extension of WebSockets that was not asked for"))}
	}
	s.ReadCloser, s.w, s.body = resp.Body, w, &llmBody{g: c.g}
	s.client = llm.Client{Message: s.message, Room: s.room}
	s.server = llm.Server{Text: func(b []byte) { _, _ = s.usage.Write(b) }, End: s.over}
	s.usage = llm.NewUsage(c.rules[0].API, "")
	resp.Body = s
	return resp, nil
}

// Write takes what the client sends.
func (s *llmSocket) Write(p []byte) (int, error) {
	out, err := s.client.Next(p)
	if len(out) > 0 {
		if _, werr := s.w.Write(out); werr != nil {
			return 0, werr
		}
	}
	if err != nil {
		s.refuse(err)
		return 0, err
	}
	return len(p), nil
}

var (
	errNoRoom   = errors.New("too many requests to models at once, by their size")
	errUnderWay = errors.New("a second call on a WebSocket to a model before the first is answered: use another connection")
)

// room counts what is held of a message. What a slice grows to is at most twice its size.
func (s *llmSocket) room(size int) error {
	if more := int64(2*size) - s.body.size; more > 0 {
		more += 64 << 10
		if s.c.g.bodies.Add(more) > llmMemory {
			s.c.g.bodies.Add(-more)
			return errNoRoom
		}
		s.body.size += more
	}
	return nil
}

// A socketError refuses a message.
type socketError struct{ *llmNo }

func (e *socketError) Error() string { return e.d.Reason }

// message judges a message of the client's.
func (s *llmSocket) message(text []byte) ([]byte, error) {
	defer func() {
		s.c.g.bodies.Add(-s.body.size)
		s.body.size = 0
	}()
	o := s.c.options()
	o.Socket = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.call != nil {
		return nil, errUnderWay
	}
	b, no := s.c.admit(text, o)
	if no != nil {
		return nil, &socketError{no}
	}
	s.call = &socketCall{s.c.hold, s.c.input, s.c.output, time.Now()}
	s.usage = llm.NewUsage(s.c.rules[0].API, "")
	s.c.hold = nil
	return b, nil
}

// refuse ends the connection because of a message.
func (s *llmSocket) refuse(err error) {
	var no *socketError
	if !errors.As(err, &no) {
		fault := llm.Malformed
		if errors.Is(err, errNoRoom) || errors.Is(err, errUnderWay) {
			fault = llm.Busy
		}
		no = &socketError{&llmNo{fault, belljar.Decision{Nearest: s.c.rule, Reason: s.c.t.name() + ": " + err.Error()}, ""}}
	}
	status, body := s.c.answer(no.llmNo)
	var event map[string]any
	if json.Unmarshal([]byte(body), &event) == nil {
		event["type"], event["status"] = "error", status
		if b, err := json.Marshal(event); err == nil {
			s.mu.Lock()
			s.last = llm.LastWords(string(b))
			s.mu.Unlock()
		}
	}
	_ = s.ReadCloser.Close() // wakes who reads
}

// Read passes on what the server sends; behind a refusal, the last words.
func (s *llmSocket) Read(p []byte) (int, error) {
	s.mu.Lock()
	refused := s.last != nil
	s.mu.Unlock()
	n, err := 0, io.EOF
	if !refused {
		n, err = s.ReadCloser.Read(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 {
		if _, werr := s.server.Write(p[:n]); werr != nil {
			return 0, werr
		}
	}
	if err == nil || len(s.last) == 0 || !s.server.Between() {
		return n, err
	}
	more := copy(p[n:], s.last)
	s.last = s.last[more:]
	if len(s.last) > 0 {
		err = nil
	}
	return n + more, err
}

// over settles a call whose answer is whole; mu is held.
func (s *llmSocket) over() {
	if s.usage.Message() && s.call != nil {
		s.settle(true)
	}
}

// settle settles the call under way; mu is held.
func (s *llmSocket) settle(whole bool) {
	c := s.call
	s.call = nil
	spent := s.usage.Spent(llm.Call{Input: c.input, Output: c.output, Status: http.StatusOK, Whole: whole, Readable: true, Took: time.Since(c.began)})
	s.usage = llm.NewUsage(s.c.rules[0].API, "")
	c.hold.Settle(spent)
	s.total.Input += spent.Input
	s.total.Output += spent.Output
	s.total.CacheRead += spent.CacheRead
	s.total.CacheWrite += spent.CacheWrite
	s.total.Estimated = s.total.Estimated || spent.Estimated
}

// ended settles what is under way and completes the event of the connection.
func (s *llmSocket) ended(e *belljar.NetEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.call != nil {
		s.settle(false)
	}
	if s.total.Total() > 0 {
		t := s.total
		t.Model = s.c.model
		e.LLM = &t
	}
	if s.body != nil {
		s.c.g.bodies.Add(-s.body.size)
		s.body.size = 0
	}
}
