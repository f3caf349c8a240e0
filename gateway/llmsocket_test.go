package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// wsFrame is a short text as a client or a server sends it.
func wsFrame(text string, masked bool) string {
	head := []byte{0x81}
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	if len(text) < 126 {
		head = append(head, bit|byte(len(text)))
	} else {
		head = append(head, bit|126, byte(len(text)>>8), byte(len(text)))
	}
	if masked {
		head = append(head, 0, 0, 0, 0)
	}
	return string(head) + text
}

// wsText reads a text.
func wsText(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(br, head); err != nil {
		return err.Error()
	}
	size := int(head[1] & 0x7f)
	if size == 126 {
		more := make([]byte, 2)
		_, _ = io.ReadFull(br, more)
		size = int(more[0])<<8 | int(more[1])
	}
	mask := make([]byte, 4)
	if head[1]&0x80 != 0 {
		_, _ = io.ReadFull(br, mask)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(br, b); err != nil {
		return err.Error()
	}
	for i := range b {
		b[i] ^= mask[i&3]
	}
	if head[0]&15 == 8 {
		return fmt.Sprintf("close %x", b)
	}
	return string(b)
}

// TestSocketToModel: messages on a WebSocket are judged and counted as requests are.
func TestSocketToModel(t *testing.T) {
	for _, c := range []struct{ name, message, says string }{
		{"model", `{"type":"response.create","model":"other","input":[]}`, "the policy does not allow the model other"},
		{"fetch", `{"type":"response.create","model":"gpt-x","tools":[{"type":"web_search"}]}`, "runs at the provider"},
		{"budget", `{"type":"response.create","model":"gpt-x","max_output_tokens":960,"input":[]}`, "the budget for models has no room"},
		{"other", `{"type":"session.update","model":"gpt-x"}`, "not one that asks for a response"},
		{"no JSON", `hello`, "cannot be judged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := models(func(l *belljar.LLMRule) { l.API, l.Models, l.Tokens = belljar.LLMOpenAI, []string{"gpt-*"}, 1000 })
			w := newSecureWorld(t, n)
			got := make(chan string, 16)
			w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
				if ext := r.Header.Get("Sec-Websocket-Extensions"); ext != "" {
					t.Errorf("asks for %s", ext)
				}
				conn, br := switched(t, rw)
				if conn == nil {
					return
				}
				defer conn.Close()
				for {
					m := wsText(t, br.Reader)
					got <- m
					if !strings.HasPrefix(m, "{") {
						return
					}
					_, _ = io.WriteString(conn, wsFrame(`{"type":"response.created","response":{"usage":null}}`, false)+
						wsFrame(`{"type":"response.completed","response":{"usage":{"input_tokens":20,"output_tokens":5}}}`, false))
				}
			})
			conn, err := w.tls("api.example.com", 443, nil)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, "GET /v1/responses HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
			br := bufio.NewReader(conn)
			if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 101 {
				t.Fatal(resp, err)
			}
			first := `{"type":"response.create","model":"gpt-x","max_output_tokens":100,"input":[]}`
			for range 2 {
				_, _ = io.WriteString(conn, wsFrame(first, true))
				if m := <-got; m != first {
					t.Errorf("the server got %q", m)
				}
				for _, want := range []string{"response.created", "response.completed"} {
					if m := wsText(t, br); !strings.Contains(m, want) {
						t.Errorf("%q", m)
					}
				}
			}
			_, _ = io.WriteString(conn, wsFrame(c.message, true))
			if m := wsText(t, br); !strings.Contains(m, `"type":"error"`) || !strings.Contains(m, c.says) || !strings.Contains(m, `"status":4`) {
				t.Errorf("%q", m)
			}
			if m := wsText(t, br); m != "close 03f0" {
				t.Errorf("%q", m)
			}
			if m := <-got; strings.HasPrefix(m, "{") {
				t.Errorf("the server got %q", m)
			}
			e := w.rec.wait(t, belljar.EventRequest)
			if e.LLM == nil || *e.LLM != (belljar.LLMSpent{Model: "gpt-x", Input: 40, Output: 10}) {
				t.Errorf("%+v", e.LLM)
			}
			w.rec.wait(t, belljar.EventRefuse, c.says)
			if s := w.g.Summary(); s.Calls != 2 || s.Models.Total() != 50 {
				t.Errorf("%+v", s)
			}
			w.noneHeld()
		})
	}
}

// TestSocketThatBreaksOff: what was asked and not told is charged.
func TestSocketThatBreaksOff(t *testing.T) {
	w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.API, l.Tokens = belljar.LLMOpenAI, 1000 }))
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) {
		conn, br := switched(t, rw)
		if conn == nil {
			return
		}
		defer conn.Close()
		_ = wsText(t, br.Reader)
		_, _ = io.WriteString(conn, wsFrame(strings.Repeat("x", 120), false)[:60])
	})
	conn, err := w.tls("api.example.com", 443, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := wsFrame(`{"type":"response.create","model":"gpt-x","max_output_tokens":40,"input":[]}`, true)
	fmt.Fprint(conn, "GET /v1/responses HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"+m)
	_, _ = io.Copy(io.Discard, conn)
	e := w.rec.wait(t, belljar.EventRequest)
	if e.LLM == nil || !e.LLM.Estimated || e.LLM.Output != 40 || e.LLM.Input < 20 {
		t.Errorf("%+v", e.LLM)
	}
}

// dialModel opens a WebSocket to the model.
func (w *secureWorld) dialModel(t *testing.T) (io.Writer, *bufio.Reader) {
	t.Helper()
	conn, err := w.tls("api.example.com", 443, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprint(conn, "GET /v1/responses HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
	br := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	return conn, br
}

// TestSocketErrors: an error is about the call under way; where its answer has begun, it
// is charged, and no second message can be asked meanwhile.
func TestSocketErrors(t *testing.T) {
	const message = `{"type":"response.create","model":"gpt-x","max_output_tokens":5000,"input":[]}`
	delta := wsFrame(`{"type":"response.output_text.delta","delta":"`+strings.Repeat("tok ", 250)+`"}`, false)
	for _, c := range []struct {
		name, events string
		least        int64 // that is charged
	}{
		{"second message", wsFrame(`{"type":"response.created","response":{"id":"r1"}}`, false) + delta + wsFrame(`{"type":"response.output_text.done"}`, false), 1000},
		{"error behind a part", delta + wsFrame(`{"type":"error","status":500}`, false), 1000},
		{"failure behind a part", delta + wsFrame(`{"type":"response.failed","response":{}}`, false), 1000},
		{"error at once", wsFrame(`{"type":"response.created"}`, false) + wsFrame(`{"type":"error","status":400}`, false), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.API, l.Tokens = belljar.LLMOpenAI, 20_000 }))
			second, looked := make(chan string, 1), make(chan struct{})
			defer close(looked)
			w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) {
				conn, br := switched(t, rw)
				if conn == nil {
					return
				}
				defer conn.Close()
				wsText(t, br.Reader)
				_, _ = io.WriteString(conn, c.events)
				second <- wsText(t, br.Reader)
				<-looked // what follows would be charged, too
			})
			conn, br := w.dialModel(t)
			_, _ = io.WriteString(conn, wsFrame(message, true))
			for range strings.Count(c.events, `"type"`) {
				wsText(t, br)
			}
			_, _ = io.WriteString(conn, wsFrame(message, true))
			if c.name == "second message" {
				if m := wsText(t, br); !strings.Contains(m, "before the first is answered") || !strings.Contains(m, `"status":429`) {
					t.Errorf("%q", m)
				}
				if m := <-second; strings.HasPrefix(m, "{") {
					t.Errorf("the server got %q", m)
				}
			} else if m := <-second; m != message { // the call is over
				t.Errorf("the server got %q", m)
			}
			if c.least == 0 {
				if s := w.g.Summary(); s.Models.Total() != 0 || s.Calls != 1 {
					t.Errorf("%+v", s)
				}
				return
			}
			if c.name == "second message" {
				w.rec.wait(t, belljar.EventRequest)
			}
			if s := w.g.Summary(); s.Models.Output < c.least || s.Calls != 1 || !s.Models.Estimated {
				t.Errorf("%+v", s)
			}
		})
	}
}
