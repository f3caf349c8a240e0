package ssh

import (
	"context"
	"io"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/crypto/ssh"
)

// connecting is how long a connection inside may take to be made.
const connecting = 30 * time.Second

// forward serves a channel that is to become a connection to the sandbox's loopback.
func (s *server) forward(ctx context.Context, c ssh.NewChannel) {
	to, why := parseTarget(c.ExtraData())
	if why != "" {
		_ = c.Reject(ssh.Prohibited, why)
		return
	}
	argv := []string{belljar.HelperPath, belljar.HelperConnect}
	for _, a := range to {
		argv = append(argv, a.String())
	}
	p, err := s.o.Starter.Start(ctx, &Command{Argv: argv})
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, "the sandbox cannot start what connects inside")
		return
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }()
	if !made(p) {
		_ = c.Reject(ssh.ConnectionFailed, "nothing inside the sandbox answers on that port of its loopback")
		return
	}
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go func() {
		ssh.DiscardRequests(requests)
		_ = p.Close() // both directions are done
	}()
	go feed(p.Stdin(), ch)
	carry(ch, p.Stdout())
	_ = ch.CloseWrite()
	_, _ = p.Wait(ctx)
}

// made waits until the process inside says whether it has connected.
func made(p Stream) bool {
	late := time.AfterFunc(connecting, func() { _ = p.Close() })
	defer late.Stop()
	var answer [1]byte
	_, err := io.ReadFull(p.Stdout(), answer[:])
	return err == nil && answer[0] == belljar.HelperConnected
}
