package keeper

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// providerFile names the test's provider to the processes that it starts.
const providerFile = "provider-of-the-test"

func TestMain(m *testing.M) {
	reexec(os.Args, func(state string) *refresher {
		url, err := os.ReadFile(filepath.Join(state, providerFile))
		if err != nil {
			os.Exit(3)
		}
		return testRefresher(state, string(url))
	}, private) // tests may run as root
	os.Exit(m.Run())
}

// household makes the folders of a user whose provider is p, and says how its keeper is
// reached.
func household(t *testing.T, p *provider) Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Runtime: filepath.Join(dir, "run"), State: filepath.Join(dir, "state"), Env: os.Environ()}
	for _, d := range []string{o.Runtime, o.State} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(o.State, providerFile), []byte(p.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pid := keeperPID(o); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return o
}

// keeperPID is the process that listens on the socket of o, 0 for none.
func keeperPID(o Options) int {
	c, err := net.Dial("unix", filepath.Join(o.Runtime, nameFor(o.Home)))
	if err != nil {
		return 0
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// One keeper answers however many start it at once, it ends after the last client, and
// nobody else may open its socket.
func TestOneKeeper(t *testing.T) {
	p := newProvider(t)
	o := household(t, p)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	var clients []*Client
	var wait sync.WaitGroup
	for range 8 {
		c := NewClient(o)
		clients = append(clients, c)
		wait.Go(func() {
			if _, _, err := c.Token(context.WithoutCancel(t.Context()), "claude", file, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	pid := keeperPID(o)
	if pid <= 0 || pid == os.Getpid() {
		t.Fatalf("the keeper is process %d", pid)
	}
	if fi, err := os.Stat(filepath.Join(o.Runtime, nameFor(o.Home))); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	if cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && os.Geteuid() != 0 && len(cmd) > 0 {
		t.Error("another process can read its environment")
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, c := range clients {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 120_000); n != 1 || err != nil {
		t.Errorf("it has not ended: %d %v", n, err)
	}
	if _, err := os.Lstat(filepath.Join(o.Runtime, nameFor(o.Home))); err == nil {
		t.Error("the socket is still there")
	}
}

// The keeper is killed at any moment, again and again, while sandboxes ask for new
// tokens: no refresh token is sent twice, every client gets a token that is accepted.
func TestKilled(t *testing.T) {
	rounds, sandboxes := 12, 6
	if os.Getenv("BELLJAR_SOAK") != "" {
		rounds, sandboxes = 300, 50
	}
	p := newProvider(t)
	o := household(t, p)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	random := rand.New(rand.NewChaCha8(key))
	clients := make([]*Client, sandboxes)
	for i := range clients {
		clients[i] = NewClient(o)
		defer clients[i].Close()
		if i%2 == 1 { // as a confined supervisor asks
			if err := clients[i].Detach([]Known{{"claude", file}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range rounds {
		old, _, err := clients[0].Token(t.Context(), "claude", file, "")
		if err != nil {
			t.Fatal(err)
		}
		pid := keeperPID(o)
		if pid <= 1 {
			t.Fatalf("the keeper is process %d", pid)
		}
		kill, killed := func() { _ = syscall.Kill(pid, syscall.SIGKILL) }, make(chan struct{})
		delay := time.Duration(random.IntN(60)) * time.Millisecond
		p.mu.Lock()
		p.access = ""
		p.after = nil
		if round%3 == 0 { // in the worst moment: the old one is used, the answer not sent
			p.after = kill
		}
		p.mu.Unlock()
		stop := func() bool { return true }
		if round%3 != 0 {
			stop = time.AfterFunc(delay, func() { kill(); close(killed) }).Stop
		}
		var wait sync.WaitGroup
		for _, c := range clients {
			wait.Go(func() {
				got, _, err := c.Token(context.WithoutCancel(t.Context()), "claude", file, Hash(old))
				if err != nil || !p.accepts(got) {
					t.Errorf("round %d: %v: a 401 would have reached an agent", round, err)
				}
			})
		}
		wait.Wait()
		if !stop() { // it is killed in its own round, or not at all
			<-killed
		}
		if _, revoked := p.state(); revoked != "" {
			t.Fatalf("round %d: %s", round, revoked)
		}
		if t.Failed() {
			return
		}
	}
	if asked, _ := p.state(); asked != rounds {
		t.Errorf("asked %d times in %d rounds", asked, rounds)
	}
}
