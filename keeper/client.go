package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
)

// Options say where the keeper of a user is, and how it is started.
type Options struct {
	Runtime string // belljar's private runtime folder
	State   string // belljar's private state folder
	// Home is whose logins are kept: root's sandboxes see no home but their own, so that
	// each home has its keeper.
	Home  string
	Env   []string
	start func(context.Context) error // for tests; nil: this very program
}

// A Client speaks to the keeper, and starts it when nobody answers. As long as it is
// open and was used, the keeper lives. It is safe for concurrent use.
type Client struct {
	o Options

	busy chan struct{} // holds one token: who has it uses conn
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
	done bool
}

// NewClient makes a client. Nothing is connected or started before it is used.
func NewClient(o Options) *Client {
	c := &Client{o: o, busy: make(chan struct{}, 1)}
	if c.o.start == nil {
		c.o.start = c.o.spawn
	}
	return c
}

// askAgain is how often a request is made while keepers die under it.
const askAgain = 8

// replyTime is how long one answer may take: the provider is asked meanwhile.
const replyTime = 2*lockTime + probeTime + 2*askTime

// A RefusedError is what the keeper answered in place of what it was asked for: one
// sentence without a period, printable, which may name files.
type RefusedError struct{ Why string }

// Error is the keeper's sentence.
func (e *RefusedError) Error() string { return e.Why }

// Token is the access token of the login in file, and when it expires: zero where nobody
// knows. Stale is the [Hash] of one that the provider did not accept; another one is
// returned then, or an error.
func (c *Client) Token(ctx context.Context, name, file, stale string) (token string, expires time.Time, err error) {
	r, err := c.ask(ctx, request{Op: opToken, Login: name, File: file, Stale: stale})
	return r.Token, fromMillis(r.Expires), err
}

// StandIn is what takes the place of the login in file inside.
func (c *Client) StandIn(ctx context.Context, name, file string) (*login.Stand, error) {
	r, err := c.ask(ctx, request{Op: opStandIn, Login: name, File: file})
	if err == nil && r.Stand == nil {
		err = errors.New("the keeper is another version of belljar")
	}
	return r.Stand, err
}

// Close gives the keeper up. Idempotent.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	c.drop()
	return nil
}

func (c *Client) drop() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.in = nil, nil
	}
}

// ask makes a request, once more where the keeper died before it answered: no request
// does anything twice.
func (c *Client) ask(ctx context.Context, q request) (reply, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
	type outcome struct {
		reply
		err error
	}
	done := make(chan outcome, 1)
	go func() { // whoever gives up leaves the connection to those who come next
		r, err := c.askOnly(context.WithoutCancel(ctx), line)
		<-c.busy
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.reply, o.err
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// askOnly is run by who has busy.
func (c *Client) askOnly(ctx context.Context, line []byte) (_ reply, err error) {
	for range askAgain {
		var r reply
		if r, err = c.once(ctx, append(line, '\n')); err == nil {
			if r.Error != "" {
				return reply{}, &RefusedError{r.Error}
			}
			return r, nil
		}
		if errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return reply{}, fmt.Errorf("belljar's keeper of logins does not answer: %w", err)
}

// once makes a request on the connection that is there, or a new one.
func (c *Client) once(ctx context.Context, line []byte) (r reply, err error) {
	conn, in, err := c.connected(ctx)
	if err != nil {
		return r, err
	}
	_ = conn.SetDeadline(time.Now().Add(replyTime))
	_, err = conn.Write(line)
	var b []byte
	if err == nil {
		b, err = readLine(in, maxReply)
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		c.mu.Lock()
		c.drop()
		c.mu.Unlock()
	}
	return r, err
}

func (c *Client) connected(ctx context.Context) (net.Conn, *bufio.Reader, error) {
	c.mu.Lock()
	conn, in, done := c.conn, c.in, c.done
	c.mu.Unlock()
	if done {
		return nil, nil, net.ErrClosed
	}
	if conn != nil {
		return conn, in, nil
	}
	conn, err := dial(ctx, c.o.Runtime, nameFor(c.o.Home))
	if err != nil {
		if err := c.o.start(ctx); err != nil {
			return nil, nil, fmt.Errorf("start it: %w", err)
		}
		if conn, err = dial(ctx, c.o.Runtime, nameFor(c.o.Home)); err != nil {
			return nil, nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		_ = conn.Close()
		return nil, nil, net.ErrClosed
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return c.conn, c.in, nil
}
