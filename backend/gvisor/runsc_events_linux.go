package gvisor

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"

	"github.com/belljar-dev/belljar"
)

// maxRecord bounds one message of the sentry: the argument vector, two paths and
// what protobuf adds.
const maxRecord = maxArgv + 3*4096 + 64*1024

// An eventReader takes what the sink in the sentry sends and puts it on record.
type eventReader struct {
	in    *instance
	sock  *os.File
	ready chan struct{} // closed when the sink greets
	done  chan struct{}
	init  *belljar.ExitStatus // how the init process ended; read it when done is closed
	asked *asked              // nil: every program may run
}

func newEventReader(in *instance, sock *os.File) *eventReader {
	r := &eventReader{in: in, sock: sock, ready: make(chan struct{}), done: make(chan struct{})}
	if in.spec.MayExec != nil {
		r.asked = newAsked(r)
	}
	go r.run()
	return r
}

// drain waits until everything that the sentry sent is on record. The sentry must
// be gone.
func (r *eventReader) drain() { <-r.done }

func (r *eventReader) run() {
	defer close(r.done)
	defer r.sock.Close()
	defer r.asked.close()
	buf := make([]byte, maxRecord)
	if n, err := recvFull(r.sock, buf); err != nil || n != 1 || buf[0] != recordReady {
		return // nobody will let the sentry start
	}
	close(r.ready)
	for {
		n, err := recvFull(r.sock, buf)
		if err == nil {
			err = r.record(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			// Nothing may run that is not on record.
			r.in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: "record an event: " + err.Error()})
			return
		}
	}
}

// wait waits until the sink is in place.
func (r *eventReader) wait() error {
	select {
	case <-r.ready:
		return nil
	case <-r.done:
		return errors.New("the sentry has no event sink")
	}
}

func recvFull(f *os.File, buf []byte) (int, error) {
	for {
		n, _, flags, _, err := unix.Recvmsg(int(f.Fd()), buf, nil, unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET):
			return 0, io.EOF
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		case flags&unix.MSG_TRUNC != 0:
			return 0, errors.New("a message of the sentry is too long")
		}
		return n, nil
	}
}

func (r *eventReader) record(b []byte) error {
	if len(b) > 0 && b[0] == recordOpener {
		id, o, err := decodeAnswer(b[1:])
		if err == nil {
			r.in.openers.take(id, o)
		}
		return err
	}
	e, id, err := decodeEvent(b)
	if err != nil {
		return err
	}
	if id != 0 {
		if r.asked == nil {
			return errors.New("the sentry asks what it was not told to ask")
		}
		r.asked.take(id, e)
		return nil
	}
	if e.Exit != nil && e.Exit.PID == 1 {
		r.init = &e.Exit.Status
	}
	return r.put(e)
}

// decodeAnswer reads who opened a connection.
func decodeAnswer(b []byte) (id uint64, o belljar.Opened, err error) {
	if len(b) < idSize {
		return 0, o, errors.New("a message without its number")
	}
	o, err = decodeOpener(b[idSize:])
	return binary.LittleEndian.Uint64(b), o, err
}

func (r *eventReader) put(e belljar.Event) error {
	return r.in.spec.Events.Record(context.WithoutCancel(r.in.ctx), e)
}

// decodeEvent decodes one message of the sentry, which may be hostile. An id that is not 0
// is that of an execve which waits for an answer, or, without an event, no longer does.
func decodeEvent(b []byte) (e belljar.Event, id uint64, err error) {
	if len(b) == 0 {
		return e, 0, errors.New("an empty message")
	}
	kind, b := b[0], b[1:]
	if kind == recordExec || kind == recordLeft {
		if len(b) < idSize {
			return e, 0, errors.New("a message without its number")
		}
		id, b = binary.LittleEndian.Uint64(b), b[idSize:]
	}
	switch kind {
	case recordExec:
		e, err = decodeExec(b)
		return e, id, err
	case recordExit:
		e, err = decodeExit(b)
		return e, 0, err
	case recordLeft:
		if id == 0 || len(b) != 0 {
			return e, 0, errors.New("a number that is none")
		}
		return e, id, nil
	}
	return e, 0, fmt.Errorf("an unknown message %q", kind)
}

func decodeExec(b []byte) (belljar.Event, error) {
	var m pb.ExecveInfo
	if err := proto.Unmarshal(b, &m); err != nil {
		return belljar.Event{}, fmt.Errorf("decode an execve: %w", err)
	}
	argv, cut := cutArgv(m.GetArgv(), maxArgv) // the sentry did, unless it is not ours any more
	c := m.GetContextData()
	return belljar.Event{
		Kind: belljar.EventExec,
		Time: eventTime(c),
		Exec: &belljar.ExecEvent{
			PID:       int(c.GetThreadGroupId()),
			Parent:    int(c.GetParentThreadGroupId()),
			Path:      m.GetBinaryPath(),
			Called:    m.GetExecfn(),
			Argv:      argv,
			Dir:       c.GetCwd(),
			Truncated: cut + int(max(m.GetBinarySize(), 0)),
			Digest:    hex.EncodeToString(m.GetBinarySha256()[:min(len(m.GetBinarySha256()), sha256.Size)]),
		},
	}, nil
}

func decodeExit(b []byte) (belljar.Event, error) {
	var m pb.TaskExit
	if err := proto.Unmarshal(b, &m); err != nil {
		return belljar.Event{}, fmt.Errorf("decode an exit: %w", err)
	}
	c := m.GetContextData()
	return belljar.Event{
		Kind: belljar.EventExit,
		Time: eventTime(c),
		Exit: &belljar.ExitEvent{PID: int(c.GetThreadGroupId()), Status: exitStatus(unix.WaitStatus(m.GetExitStatus()))},
	}, nil
}

// eventTime is when it happened by the sandbox's clock, unless that is absurd.
func eventTime(c *pb.ContextData) time.Time {
	t := time.Unix(0, c.GetTimeNs())
	if d := time.Since(t); d < -time.Second || d > time.Hour {
		return time.Time{}
	}
	return t
}

func exitStatus(ws unix.WaitStatus) belljar.ExitStatus {
	if ws.Signaled() {
		return belljar.ExitStatus{Signal: belljar.Signal(ws.Signal())}
	}
	return belljar.ExitStatus{Code: ws.ExitStatus()}
}
