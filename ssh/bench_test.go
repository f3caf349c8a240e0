package ssh

import (
	"context"
	"io"
	"testing"

	"github.com/belljar-dev/belljar"
	"golang.org/x/crypto/ssh"
)

// BenchmarkEnter is what our side of an entry costs, and a client's: greeting, session,
// and the first byte that a command prints.
func BenchmarkEnter(b *testing.B) {
	key := testKey(b)
	here := scripted(func(_ *Command, _ io.Reader, out, _ io.WriteCloser) belljar.ExitStatus {
		_, _ = io.WriteString(out, "$ ")
		return belljar.ExitStatus{}
	})
	for b.Loop() {
		ours, theirs := pipes(b)
		go func() { _ = Serve(context.Background(), theirs, Options{Key: key, Starter: here}) }()
		c, chans, reqs, err := ssh.NewClientConn(ours, "", &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(key.PublicKey())})
		if err != nil {
			b.Fatal(err)
		}
		client := ssh.NewClient(c, chans, reqs)
		s, err := client.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		if out, err := s.Output("x"); err != nil || string(out) != "$ " {
			b.Fatalf("%q %v", out, err)
		}
		_ = client.Close()
	}
}

// BenchmarkOpenSSH is the whole of it on this host: ssh, its ProxyCommand, a shell.
func BenchmarkOpenSSH(b *testing.B) {
	x := newBox(b)
	for b.Loop() {
		if out, err := x.cmd("ssh", host, "true").CombinedOutput(); err != nil {
			b.Fatalf("%v %s", err, out)
		}
	}
}

// BenchmarkOutput is how fast a command's output passes.
func BenchmarkOutput(b *testing.B) {
	c := dial(b, scripted(func(_ *Command, _ io.Reader, out, _ io.WriteCloser) belljar.ExitStatus {
		buf := make([]byte, 32<<10)
		for range 64 << 20 / len(buf) {
			_, _ = out.Write(buf)
		}
		return belljar.ExitStatus{}
	}))
	b.SetBytes(64 << 20)
	for b.Loop() {
		s, err := c.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		s.Stdout = io.Discard
		if err := s.Run("x"); err != nil {
			b.Fatal(err)
		}
	}
}
