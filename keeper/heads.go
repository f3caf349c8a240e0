package keeper

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"sync"
	"time"
)

// headTime is how long a keeper may take to keep a head, or to tell one: it only looks it up.
const headTime = time.Second

// opKeep has the keeper remember where the anchors of records ended, opLast tells it.
const (
	opKeep = "keep-head"
	opLast = "last-head"
)

// A headRequest is one line of JSON, as a [request] is.
type headRequest struct {
	Op   string `json:"op"`
	Seq  uint64 `json:"seq,omitempty"`
	Head string `json:"head,omitempty"` // SHA-256, hexadecimal
}

// A headReply is one line of JSON.
type headReply struct {
	Known bool   `json:"known"`
	Seq   uint64 `json:"seq"`
	Head  string `json:"head"`
}

// heads is what the keeper remembers of the user's records, in memory only: the last line of the
// anchors that it was told of. It only goes forward.
type heads struct {
	mu   sync.Mutex
	last headReply
}

// answer carries out a request about heads; false when line is none.
func (h *heads) answer(line []byte) (headReply, bool) {
	var q headRequest
	if err := json.Unmarshal(line, &q); err != nil || q.Op != opKeep && q.Op != opLast {
		return headReply{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	sum, err := hex.DecodeString(q.Head)
	if q.Op == opKeep && err == nil && len(sum) == 32 && (!h.last.Known || q.Seq > h.last.Seq) {
		h.last = headReply{true, q.Seq, q.Head}
	}
	return h.last, true
}

// Heads are the heads of records that a keeper remembers in its memory, which no process
// of the user's can write to. It never starts a keeper: without one, nothing is kept. It is
// safe for concurrent use.
type Heads struct {
	mu   sync.Mutex
	conn net.Conn // nil: there is no keeper, or it is gone
	in   *bufio.Reader
}

// DialHeads connects to the keeper that runs for o.Home, if there is one.
func DialHeads(ctx context.Context, o Options) *Heads {
	ctx, cancel := context.WithTimeout(ctx, headTime)
	defer cancel()
	conn, err := dial(ctx, o.Runtime, nameFor(o.Home))
	if err != nil {
		return &Heads{}
	}
	return &Heads{conn: conn, in: bufio.NewReader(conn)}
}

// Keep has the keeper remember that line seq of the anchors has the hash head.
func (h *Heads) Keep(seq uint64, head string) { _, _ = h.ask(headRequest{opKeep, seq, head}) }

// Last is what the keeper remembers; false when it knows nothing.
func (h *Heads) Last() (seq uint64, head string, ok bool) {
	r, ok := h.ask(headRequest{Op: opLast})
	return r.Seq, r.Head, ok && r.Known
}

// Close gives the keeper up. Idempotent.
func (h *Heads) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop()
	return nil
}

func (h *Heads) drop() {
	if h.conn != nil {
		_ = h.conn.Close()
		h.conn = nil
	}
}

func (h *Heads) ask(q headRequest) (r headReply, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		return r, false
	}
	line, err := json.Marshal(q)
	if err == nil {
		err = h.conn.SetDeadline(time.Now().Add(headTime))
	}
	if err == nil {
		_, err = h.conn.Write(append(line, '\n'))
	}
	if err == nil {
		line, err = readLine(h.in, maxRequest)
	}
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		h.drop()
	}
	return r, err == nil
}
