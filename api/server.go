package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/internal/peer"
)

// Serve answers on l until ctx ends, waits for answers under way, closes l and returns.
// The commands of streams should be ending by then: they are waited for, for a moment.
func Serve(ctx context.Context, l *net.UnixListener, c Control) error {
	h := &handler{c: c, ctx: ctx, slots: make(chan struct{}, maxStreams)}
	defer h.streams.Wait()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/questions", h.questions)
	mux.HandleFunc("POST /v1/questions/{id}", h.answer)
	mux.HandleFunc("POST /v1/rules", h.allow)
	mux.HandleFunc("POST /v1/exec", h.exec)
	mux.HandleFunc("POST /v1/attach", h.attach)
	mux.HandleFunc("POST /v1/take", h.take)
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("POST /v1/stop", h.stop)
	srv := &http.Server{
		Handler: mux, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if p, ok := c.(*peerConn); ok {
				ctx = context.WithValue(ctx, peerKey{}, p)
			}
			return ctx
		},
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(late) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(&peerListener{UnixListener: l, slots: make(chan struct{}, maxRequests)})
	if !stop() {
		<-stopped
		return nil
	}
	_ = srv.Close()
	return err
}

// A peerListener accepts only who may speak.
type peerListener struct {
	*net.UnixListener
	slots chan struct{}
}

// Accept implements [net.Listener].
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		who, err := peer.Check(c)
		if err == nil {
			select {
			case l.slots <- struct{}{}:
				return &peerConn{UnixConn: c, who: who, leave: func() { <-l.slots }}, nil
			default:
			}
		}
		_ = c.Close()
	}
}

type peerKey struct{}

type peerConn struct {
	*net.UnixConn
	who   string
	leave func()
	once  sync.Once
}

// Close implements [net.Conn].
func (c *peerConn) Close() error {
	c.once.Do(c.leave)
	return c.UnixConn.Close()
}

type handler struct {
	c       Control
	ctx     context.Context // of Serve
	slots   chan struct{}   // of streams
	streams sync.WaitGroup
}

func (h *handler) questions(w http.ResponseWriter, r *http.Request) {
	l, err := h.c.Questions(r.Context())
	if l == nil {
		l = []approval.Question{}
	}
	send(w, Questions{l}, err)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	var a Answer
	if err := read(r, &a); err != nil {
		send(w, nil, err)
		return
	}
	switch a.Scope {
	case "", approval.Once, approval.Sandbox, approval.Always:
	default:
		send(w, nil, &belljar.Error{Op: "answer", Kind: belljar.KindUsage, Err: errors.New("no such scope")})
		return
	}
	g, err := h.c.Answer(r.Context(), r.PathValue("id"), approval.Answer{Allow: a.Allow, Scope: a.Scope, By: who(r)})
	send(w, g, err)
}

func (h *handler) allow(w http.ResponseWriter, r *http.Request) {
	var rule belljar.NetRule
	err := read(r, &rule)
	if err == nil {
		err = h.c.Allow(r.Context(), rule, who(r))
	}
	send(w, struct{}{}, err)
}

func who(r *http.Request) string {
	p, _ := r.Context().Value(peerKey{}).(*peerConn)
	if p == nil {
		return ""
	}
	return p.who
}

func read(r *http.Request, v any) error { return readAtMost(r, maxBody, v) }

func readAtMost(r *http.Request, most int64, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, most))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &belljar.Error{Op: "read request", Kind: belljar.KindUsage, Err: err}
	}
	return nil
}

// statuses are the statuses of HTTP for kinds of errors.
func statuses() map[belljar.Kind]int {
	return map[belljar.Kind]int{
		belljar.KindUsage: http.StatusBadRequest, belljar.KindRefused: http.StatusForbidden,
		belljar.KindNoSuch: http.StatusNotFound, belljar.KindConflict: http.StatusConflict,
		belljar.KindNotFound: http.StatusUnprocessableEntity,
	}
}

func send(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := statuses()[belljar.KindOf(err)]
		if status == 0 {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		v = faultOf(err)
	}
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

func faultOf(err error) fault {
	var f fault
	f.Error.Kind, f.Error.Message, f.Error.Hint = kinds()[belljar.KindOf(err)], message(err), belljar.HintOf(err)
	return f
}

// message is err without what was done and to what, which the client says.
func message(err error) string {
	var e *belljar.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}
