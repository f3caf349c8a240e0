package h1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 4 << 10  // of a connection's reader; what is read in larger pieces goes past it
	writeSize = 16 << 10 // of the writer that a request borrows: one record where it fits
	// maxInterim is how many interim answers there may be before an answer, whether
	// anybody is told of them or not.
	maxInterim = 64
)

// A conn is a connection to a server that was verified. One request uses it at a time.
type conn struct {
	c        *Client
	hostport string
	raw      net.Conn // that Dial made
	wire     *wire    // beneath TLS, above raw
	tls      *tls.Conn
	br       *bufio.Reader   // of conn
	limit    int64           // how much may be read
	kernel   syscall.RawConn // raw, as the kernel has it; nil before it is of use
	used     bool            // it has waited since its first request
	since    time.Time       // it waits
}

func newConn(c *Client, hostport string, raw net.Conn, cfg *tls.Config) *conn {
	pc := &conn{c: c, hostport: hostport, raw: raw, wire: &wire{Conn: raw}}
	pc.tls = tls.Client(pc.wire, cfg)
	pc.br = bufio.NewReaderSize(pc, readSize)
	return pc
}

// handshake needs a deep stack, which ends with it: the caller's goroutine is used for long.
func (pc *conn) handshake(ctx context.Context, most time.Duration) error {
	hctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- pc.tls.HandshakeContext(hctx) }()
	err := <-done
	if err != nil && ctx.Err() == nil && errors.Is(hctx.Err(), context.DeadlineExceeded) {
		return errors.New("the TLS handshake took too long")
	}
	return err
}

// close ends a connection that carries nothing.
func (pc *conn) close() { _ = pc.tls.Close() }

// abort ends one in the middle of something.
func (pc *conn) abort() { _ = pc.raw.Close() }

// Read reads what is within TLS, as much as an answer may have.
func (pc *conn) Read(p []byte) (int, error) {
	if pc.limit <= 0 {
		return 0, fmt.Errorf("the header of the answer has more than %d bytes", pc.c.o.MaxHead)
	}
	if int64(len(p)) > pc.limit {
		p = p[:pc.limit]
	}
	n, err := pc.tls.Read(p)
	pc.limit -= int64(n)
	return n, err
}

// A failure says how far an exchange came.
type failure struct {
	error
	sent  bool // a part of the request
	begun bool // the answer has
}

func (f *failure) Unwrap() error { return f.error }

// exchange sends a request and reads the header of its answer. With an error the
// connection is over.
func (pc *conn) exchange(r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	ctx := r.Context()
	stop := context.AfterFunc(ctx, pc.abort)
	resp, err := pc.ask(r, trace)
	if err != nil {
		stop()
		pc.abort()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	b := &body{src: resp.Body, pc: pc, ctx: ctx, stop: stop, keep: !resp.Close && resp.StatusCode > 199}
	if resp.StatusCode == http.StatusSwitchingProtocols || r.Method == http.MethodHead || resp.ContentLength == 0 {
		b.end(b.keep)
		resp.Body = http.NoBody
		return resp, nil
	}
	resp.Body = b
	return resp, nil
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeSize) }}

// ask is exchange without what ends either of them.
func (pc *conn) ask(r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	out := &written{w: pc.tls}
	bw := writers.Get().(*bufio.Writer)
	bw.Reset(out)
	err := r.Write(bw)
	if err == nil {
		err = bw.Flush()
	}
	bw.Reset(nil)
	writers.Put(bw)
	if err != nil && out.n == 0 {
		return nil, &failure{error: err}
	}
	// A server may have answered although it does not read on.
	pc.limit = pc.c.o.MaxHead
	if _, perr := pc.br.Peek(1); perr != nil {
		return nil, &failure{error: errors.Join(err, perr), sent: true}
	}
	resp, err := pc.read(r, trace)
	if err != nil {
		return nil, &failure{error: err, sent: true, begun: true}
	}
	pc.limit = math.MaxInt64
	return resp, nil
}

// read reads answers up to the last, which is not an interim one.
func (pc *conn) read(r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(pc.br, r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode > 199 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
		if trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
		pc.limit = pc.c.o.MaxHead
	}
	return nil, errors.New("too many interim responses")
}

// written counts what a writer took.
type written struct {
	w io.Writer
	n int
}

func (w *written) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += n
	return n, err
}

// finished gives the connection back, for another request where it can carry one.
func (pc *conn) finished(keep bool) {
	if !keep || pc.br.Buffered() > 0 || !pc.empty() {
		pc.abort()
		return
	}
	if pc.kernel == nil {
		if sc, ok := pc.raw.(syscall.Conn); ok {
			pc.kernel, _ = sc.SyscallConn()
		}
	}
	if pc.kernel == nil {
		pc.c.leave(pc.hostport)
		pc.close()
		return
	}
	pc.c.put(pc)
}

// empty says that TLS holds nothing that was not read: neither a part of a record's content
// nor records behind it, whole or not.
func (pc *conn) empty() bool {
	pc.wire.probing = true
	n, err := pc.tls.Read(make([]byte, 1))
	pc.wire.probing = false
	return n == 0 && err == errNothing && pc.wire.whole()
}

// quiet says that the connection is open and nothing has arrived since it was [conn.empty].
func (pc *conn) quiet() bool {
	quiet := false
	err := pc.kernel.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
		return true
	})
	return err == nil && quiet
}
