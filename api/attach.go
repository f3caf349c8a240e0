package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/belljar-dev/belljar"
)

// A State says how far a sandbox is.
type State string

// The states of a sandbox whose supervisor answers.
const (
	Starting State = "starting"
	Running  State = "running"
	Ending   State = "ending"
)

// A Status is what a sandbox is doing now.
type Status struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	State    State         `json:"state"`
	Usage    belljar.Usage `json:"usage"`
	Refused  int           `json:"refused"` // connections, requests and programs
	Waiting  int           `json:"waiting"` // questions
	Doing    string        `json:"doing"`   // the command that was executed last; comes from inside
	Since    time.Time     `json:"since,omitzero"`
	Detached bool          `json:"detached"`
	Viewers  int           `json:"viewers"`
}

// A StopRequest asks for the end of a sandbox.
type StopRequest struct {
	Millis int64 `json:"millis"` // grace
}

// maxGrace bounds a grace.
const maxGrace = time.Hour

// An AttachRequest says how somebody attaches to a detached sandbox.
type AttachRequest struct {
	Size     belljar.WindowSize `json:"size,omitzero"`
	ReadOnly bool               `json:"read_only,omitempty"` // never writes
	Take     bool               `json:"take,omitempty"`      // writes, whoever did before
}

// A Viewer is one who is attached. Next is for one goroutine; the other methods are safe
// for concurrent use.
type Viewer interface {
	// Next waits for what is shown next; io.EOF at the end, and after Close.
	Next() ([]byte, error)
	// Write types, where the viewer is the one who does. It may wait.
	Write(p []byte) (int, error)
	Resize(belljar.WindowSize)
	// Status is how the command ended, once it has.
	Status(ctx context.Context) (belljar.ExitStatus, error)
	// Close detaches. It is idempotent.
	Close() error
}

// Status is [Control] Status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, "GET", "/v1/status", nil, &s)
	return s, err
}

// Stop is [Control] Stop.
func (c *Client) Stop(ctx context.Context, grace time.Duration) error {
	return c.do(ctx, "POST", "/v1/stop", StopRequest{grace.Milliseconds()}, &struct{}{})
}

// Attach attaches to a detached sandbox. All that is shown is on Stdout; Wait returns how
// the command ended, and Close detaches.
func (c *Client) Attach(ctx context.Context, r AttachRequest) (*Stream, error) {
	return c.stream(ctx, "/v1/attach", r)
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	s, err := h.c.Status(r.Context())
	send(w, s, err)
}

func (h *handler) stop(w http.ResponseWriter, r *http.Request) {
	var q StopRequest
	err := read(r, &q)
	grace := time.Duration(q.Millis) * time.Millisecond
	if err == nil && (q.Millis < 0 || grace > maxGrace || grace < 0) {
		err = &belljar.Error{Op: "stop", Kind: belljar.KindUsage, Err: errors.New("no such grace")}
	}
	if err == nil {
		err = h.c.Stop(r.Context(), grace)
	}
	send(w, struct{}{}, err)
}

func (h *handler) attach(w http.ResponseWriter, r *http.Request) {
	var q AttachRequest
	leave, ok := h.stream(w, r, "attach", read(r, &q))
	if !ok {
		return
	}
	defer leave()
	v, err := h.c.Attach(r.Context(), q)
	if err != nil {
		send(w, nil, err)
		return
	}
	defer v.Close()
	m, err := takeOver(w, r, func(f frame) error {
		if f.kind != frameSize {
			return errFrame
		}
		v.Resize(belljar.WindowSize{Rows: f.rows, Cols: f.cols})
		return nil
	})
	if err != nil {
		return
	}
	defer m.close()
	view(h.ctx, m, v)
}

// view shows m what v sees until either has gone.
func view(ctx context.Context, m *mux, v Viewer) {
	go m.run()
	go func() {
		<-m.done
		_ = v.Close()
	}()
	go func() {
		buf := make([]byte, 4<<10)
		for {
			n, err := m.read(chanIn, buf)
			if n == 0 || err != nil {
				return // the end of the input is none of the command's
			}
			if _, err := v.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	_ = m.finish(chanErr)
	defer context.AfterFunc(ctx, func() {
		m.hurry(2 * endWait)
		time.AfterFunc(endWait, m.close) // who does not read
	})()
	for {
		b, err := v.Next()
		if err != nil {
			break
		}
		if _, err := m.write(chanOut, b); err != nil {
			return
		}
	}
	select {
	case <-m.done: // they have gone
		return
	default:
	}
	_ = m.finish(chanOut)
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
	defer cancel()
	st, err := v.Status(waiting)
	if err != nil {
		st = belljar.ExitStatus{Signal: 9} // with the sandbox
	}
	if m.send(exitFrame(st.Code, int(st.Signal))) == nil {
		bye(m)
	}
}
