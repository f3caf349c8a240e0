package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) attachCommand() *cobra.Command {
	var q api.AttachRequest
	c := &cobra.Command{
		Use:     "attach NAME",
		Short:   "see and type what a detached sandbox's command does",
		GroupID: "run",
		Long: `Connects this terminal with the command of the sandbox NAME, which was started by
run --detach. ctrl-p ctrl-q detaches, and the command runs on, as it does when this
terminal goes away. Any number may be attached: the first one writes, the others
watch; when the one who writes leaves, the next does. The command never waits for
anybody: who reads too slowly misses output, and is told so.
` + exitStatus,
		Args: exactly(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.attach(c.Context(), args[0], q) },
	}
	c.Flags().BoolVar(&q.ReadOnly, "read-only", false, "watch only")
	c.Flags().BoolVar(&q.Take, "take", false, "write from now on, whoever did before")
	c.MarkFlagsMutuallyExclusive("read-only", "take")
	c.ValidArgsFunction = a.completeRunning
	return c
}

func (a *App) attach(ctx context.Context, name string, q api.AttachRequest) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	e, err := a.running(h, name)
	if err != nil {
		return err
	}
	s, ours, done, err := a.session()
	if err != nil {
		return err
	}
	defer done()
	if q.Size = ours.Size; !ours.TTY {
		q.ReadOnly = true // nobody types
	}
	stream, err := e.Control().Attach(ctx, q)
	if err != nil {
		return err
	}
	defer stream.Close()
	left, err := a.watch(ctx, stream, s, ours)
	if err != nil {
		return err
	}
	if left {
		a.note("detached; it runs on: belljar attach %s", e.Name)
		return nil
	}
	status, err := stream.Wait(ctx)
	a.status = status.Status()
	return err
}

// watch relays until the command has ended, or, then left is true, the user leaves it.
func (a *App) watch(ctx context.Context, stream *api.Stream, s *terminal.Session, ours *belljar.Command) (left bool, err error) {
	var gone atomic.Bool
	leave := func() {
		gone.Store(true)
		_ = stream.Close()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			leave()
		case <-done:
		}
	}()
	go func() {
		if detachKeys(stream.Stdin(), ours.Stdin) {
			leave()
		}
	}()
	go func() {
		if _, err := io.Copy(ours.Stdout, stream.Stdout()); err != nil && !gone.Load() {
			_ = stream.Close() // nobody sees it
		}
		_ = ours.Stdout.Close()
	}()
	if ours.Stderr != nil {
		_ = ours.Stderr.Close()
	}
	if err := s.Run(ctx, stream.Resize); err != nil {
		return false, &belljar.Error{Op: "print what the command printed", Err: err}
	}
	return gone.Load(), nil
}

// detachSequences are ctrl-p and ctrl-q as terminals send them: plain, and by kitty's protocol.
var detachSequences = [2][]string{{"\x10", "\x1b[112;5u"}, {"\x11", "\x1b[113;5u"}}

const (
	keysRead   = 4 << 10
	keysQueued = 256 // reads; what is typed while so many wait for the command is dropped
	// keysLast is what keys before those to detach get to be passed on.
	keysLast = time.Second
)

// detachKeys copies keys until in ends, or the keys to detach come: then it is true. A
// ctrl-p that no ctrl-q follows is passed on with the next key. It never waits for out: a
// command that reads nothing keeps nobody from detaching.
func detachKeys(out io.Writer, in io.Reader) bool {
	queue, written := make(chan string, keysQueued), make(chan struct{})
	go func() {
		defer close(written)
		for s := range queue {
			if _, err := io.WriteString(out, s); err != nil {
				break
			}
		}
		for range queue { // nobody takes it
		}
	}()
	left := scanReads(queue, in)
	close(queue)
	select {
	case <-written:
	case <-time.After(keysLast):
	}
	return left
}

// scanReads queues what in has until it ends, or the keys to detach come.
func scanReads(queue chan<- string, in io.Reader) (leave bool) {
	buf := make([]byte, keysRead)
	for held := ""; ; {
		n, err := in.Read(buf)
		if n == 0 || err != nil {
			return false
		}
		pass, hold, leave := scanKeys(held, string(buf[:n]))
		if leave {
			return true
		}
		if held = hold; pass == "" {
			continue
		}
		select {
		case queue <- pass:
		default:
		}
	}
}

// scanKeys splits keys, before which held was held back, into what passes and what is held.
func scanKeys(held, keys string) (pass, hold string, leave bool) {
	keys = held + keys
	for i := 0; i < len(keys); {
		first := sequence(keys[i:], detachSequences[0])
		if first == 0 {
			i++
			continue
		}
		rest := keys[i+first:]
		if rest == "" {
			return keys[:i], keys[i:], false
		}
		if sequence(rest, detachSequences[1]) > 0 {
			return "", "", true
		}
		i += first
	}
	return keys, "", false
}

// sequence is the length of the one of all that s begins with; 0: none.
func sequence(s string, all []string) int {
	for _, q := range all {
		if len(s) >= len(q) && s[:len(q)] == q {
			return len(q)
		}
	}
	return 0
}
