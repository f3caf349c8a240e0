package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"golang.org/x/crypto/ssh"
)

const (
	// maxChannels bounds the sessions and forwarded connections of one connection.
	maxChannels = 64
	// greeting is how long the other side has until both have agreed on keys.
	greeting = 30 * time.Second
)

// A Command is what is to be started inside.
type Command struct {
	Argv []string
	Env  []string // NAME=VALUE, added to what every command of the sandbox has
	TTY  bool     // all output is then on standard output
	Size belljar.WindowSize
}

// A Starter starts commands inside one sandbox. It is safe for concurrent use.
type Starter interface {
	// Start starts c. ctx is for the start alone.
	Start(ctx context.Context, c *Command) (Stream, error)
}

// A Stream is a command that runs inside and its standard streams. Its methods are safe
// for concurrent use, but each of the streams is for one goroutine.
type Stream interface {
	// Stdin feeds the command; closing it ends that.
	Stdin() io.WriteCloser
	// Stdout is what the command prints; who closes it reads no more, and the command is
	// told so.
	Stdout() io.ReadCloser
	// Stderr is what it prints on its standard error.
	Stderr() io.ReadCloser
	// Signal sends it a signal.
	Signal(belljar.Signal) error
	// Resize changes the size of its terminal.
	Resize(belljar.WindowSize) error
	// Wait returns how it ended. What it printed until then can still be read.
	Wait(ctx context.Context) (belljar.ExitStatus, error)
	// Close lets go of the command, and ends it where it still runs. Idempotent.
	Close() error
}

// Options say what a connection leads to.
type Options struct {
	Key     ssh.Signer
	Starter Starter
	// Note, if not nil, tells the user what ssh itself does not say, in a line without
	// control characters.
	Note func(line string)
}

// A server is one connection.
type server struct {
	o     Options
	slots chan struct{}

	mu   sync.Mutex
	said map[string]bool
}

// Serve serves one connection of SSH until its client is gone or ctx ends, ends what it
// started and closes conn. An error says that it never came to that; how a client leaves
// is the client's to tell.
func Serve(ctx context.Context, conn io.ReadWriteCloser, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	late := time.AfterFunc(greeting, cancel)
	sc, channels, requests, err := ssh.NewServerConn(wire{conn}, config(o.Key))
	if !late.Stop() && err == nil {
		_ = sc.Close()
		err = errors.New("it took too long")
	}
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("greet the client: %w", err)
	}
	s := &server{o: o, slots: make(chan struct{}, maxChannels), said: map[string]bool{}}
	var all sync.WaitGroup
	all.Go(func() { s.requests(requests) })
	for c := range channels {
		s.channel(ctx, &all, c)
	}
	cancel()
	all.Wait()
	return nil
}

// config lets in whoever speaks: the channel is the user's own. What is offered is what
// is fast here, and safe.
func config(key ssh.Signer) *ssh.ServerConfig {
	// To what is not called OpenSSH, OpenSSH does not say that its output is not read any
	// more (eow@openssh.com), and a command that prints for ever would.
	c := &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-OpenSSH_belljar", MaxAuthTries: 1}
	c.KeyExchanges = []string{ssh.KeyExchangeCurve25519, ssh.KeyExchangeMLKEM768X25519}
	c.Ciphers = []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherAES128CTR, ssh.CipherAES256CTR}
	c.MACs = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256}
	c.AddHostKey(key)
	return c
}

// channel serves one channel, if it is one of ours and there is room.
func (s *server) channel(ctx context.Context, all *sync.WaitGroup, c ssh.NewChannel) {
	var serve func(context.Context, ssh.NewChannel)
	switch c.ChannelType() {
	case "session":
		serve = s.session
	case "direct-tcpip":
		serve = s.forward
	case "direct-streamlocal@openssh.com":
		_ = c.Reject(ssh.Prohibited, "sockets with a path are not forwarded, only ports of the sandbox's own loopback")
		return
	default:
		_ = c.Reject(ssh.UnknownChannelType, "there are sessions and direct-tcpip only")
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		_ = c.Reject(ssh.ResourceShortage, fmt.Sprintf("%d sessions and forwarded connections are open already", maxChannels))
		return
	}
	all.Go(func() {
		defer func() { <-s.slots }()
		serve(ctx, c)
	})
}

// requests refuses what is asked of the whole connection, forwarding back above all.
func (s *server) requests(l <-chan *ssh.Request) {
	for r := range l {
		switch r.Type {
		case "tcpip-forward", "streamlocal-forward@openssh.com":
			s.note("forwarding back (ssh -R) is refused: nothing inside reaches through this connection to the outside")
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// note tells the user something, once.
func (s *server) note(line string) {
	s.mu.Lock()
	first := !s.said[line]
	s.said[line] = true
	s.mu.Unlock()
	if first && s.o.Note != nil {
		s.o.Note(terminal.Escape(line))
	}
}

// wire makes of two descriptors what package ssh wants; it asks for no more than names.
type wire struct{ io.ReadWriteCloser }

type noAddr struct{}

func (noAddr) Network() string { return "pipe" }
func (noAddr) String() string  { return "pipe" }

func (wire) LocalAddr() net.Addr              { return noAddr{} }
func (wire) RemoteAddr() net.Addr             { return noAddr{} }
func (wire) SetDeadline(time.Time) error      { return nil }
func (wire) SetReadDeadline(time.Time) error  { return nil }
func (wire) SetWriteDeadline(time.Time) error { return nil }
