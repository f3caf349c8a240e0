package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/creack/pty"
	"golang.org/x/net/proxy"
)

// An entered world has a running sandbox, box, that OpenSSH comes into.
type entered struct {
	*world
	stop func()
}

// enter starts the sandbox box, in which line has run, and tells ssh of it.
func enterBox(t *testing.T, line string) *entered {
	t.Helper()
	testenv.Need(t, "ssh")
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	c := w.cmd(ctx, "run", "--name", "box", "--", "sh", "-c", line+"\necho ready; cat")
	c.Stderr = os.Stderr
	in, _ := startReady(t, c)
	e := &entered{world: w, stop: func() {
		_ = in.Close()
		_ = c.Wait()
		cancel()
	}}
	t.Cleanup(e.stop)
	if r := w.belljar("ssh-config"); r.status != 0 {
		t.Fatalf("%d %s", r.status, r.errout)
	}
	return e
}

// client is a program that speaks through ssh; -F comes first.
func (e *entered) client(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	e.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, name, args...)
	conf := "ssh -F " + filepath.Join(e.home, ".ssh", "config")
	if name == "ssh" || name == "scp" || name == "sftp" {
		c.Args = append([]string{name, "-F", filepath.Join(e.home, ".ssh", "config")}, args...)
	}
	c.Env = append(append([]string{}, e.env...), "GIT_SSH_COMMAND="+conf, "RSYNC_RSH="+conf, "GIT_CONFIG_NOSYSTEM=1", "LC_TIME=C.UTF-8")
	c.Dir = e.home
	return c
}

func (e *entered) try(stdin string, name string, args ...string) result {
	e.t.Helper()
	c := e.client(name, args...)
	var out, errout bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errout
	var ee *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ee) {
		e.t.Fatal(err)
	}
	return result{status: c.ProcessState.ExitCode(), out: out.String(), errout: errout.String()}
}

func (e *entered) must(name string, args ...string) string {
	e.t.Helper()
	r := e.try("", name, args...)
	if r.status != 0 {
		e.t.Fatalf("%s %q: %d\n%s\n%s", name, args, r.status, r.out, r.errout)
	}
	return r.out
}

// TestSSH: the real OpenSSH, and what builds on it, come into a running sandbox by our
// block alone, and see and do there what any process of it may.
func TestSSH(t *testing.T) {
	testenv.Need(t, "sftp", "scp", "rsync", "git")
	e := enterBox(t, "git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m inside")
	t.Run("commands", func(t *testing.T) {
		for _, c := range []struct {
			stdin, line, out string
			status           int
		}{
			{line: "echo out; exit 7", out: "out\n", status: 7},
			{line: "pwd; echo $LANG $LC_TIME", out: e.home + "\nC.UTF-8 C.UTF-8\n"},
			{line: "kill -9 $$", status: 255},
			{stdin: "to and fro", line: "cat", out: "to and fro"},
			{line: "cat " + e.proj + "/README; cat " + e.proj + "/.env " + e.home + "/.ssh/id_rsa " + e.home + "/.aws/credentials || echo none", out: "hello\nnone\n"},
			{line: "ls /proc/self/fd | wc -l; echo ${SSH_AUTH_SOCK:-none} ${GITHUB_TOKEN:-none}", out: "4\nnone none\n"},
		} {
			if r := e.try(c.stdin, "ssh", "box.belljar", c.line); r.out != c.out || r.status != c.status {
				t.Errorf("%q: %d %q %s", c.line, r.status, r.out, r.errout)
			}
		}
		data := make([]byte, 20<<20)
		_, _ = rand.NewChaCha8([32]byte{}).Read(data)
		if r := e.try(string(data), "ssh", "box.belljar", "cat"); r.out != string(data) {
			t.Errorf("%d: %d bytes came back %s", r.status, len(r.out), r.errout)
		}
		if r := e.belljarIn("", "ssh", "box", "echo", "by", "belljar;", "exit", "4"); r.out != "by belljar\n" || r.status != 4 {
			t.Errorf("%d %q %s", r.status, r.out, r.errout)
		}
		if r := e.try("", "ssh", "nobody.belljar", "true"); r.status != 255 || !strings.Contains(r.errout, "no sandbox of that name runs") {
			t.Errorf("%d %s", r.status, r.errout)
		}
	})
	t.Run("terminal", func(t *testing.T) { sshTerminal(t, e) })
	t.Run("files", func(t *testing.T) { sshFiles(t, e) })
	t.Run("forward", func(t *testing.T) { sshForward(t, e) })
	t.Run("git", func(t *testing.T) {
		e.must("git", "clone", "-q", "ssh://box.belljar"+e.proj+"/repo", "cloned")
		if out := e.must("git", "-C", "cloned", "log", "--format=%s"); out != "inside\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("shared", func(t *testing.T) {
		at := filepath.Join(shortTemp(t), "m")
		master := e.client("ssh", "-M", "-S", at, "box.belljar", "echo ready; cat")
		in, out := startReady(t, master)
		for i := range 5 {
			if r := e.try("", "ssh", "-S", at, "-o", "ProxyCommand=false", "box.belljar", fmt.Sprint("echo ", i)); r.out != fmt.Sprintln(i) {
				t.Errorf("%d %q %s", r.status, r.out, r.errout)
			}
		}
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := master.Wait(); err != nil {
			t.Error(err)
		}
	})
	e.stop()
	if r := e.try("", "ssh", "box.belljar", "true"); r.status != 255 || !strings.Contains(r.errout, "no sandbox of that name runs") {
		t.Errorf("after the end: %d %s", r.status, r.errout)
	}
}

func sshTerminal(t *testing.T, e *entered) {
	c := e.client("ssh", "-tt", "box.belljar")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 31, Cols: 77})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var got bytes.Buffer
	want := func(text string) {
		t.Helper()
		_ = tty.SetReadDeadline(time.Now().Add(hangs))
		buf := make([]byte, 4096)
		for !strings.Contains(got.String(), text) {
			n, err := tty.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				t.Fatalf("%q never came: %v\n%q", text, err, got.String())
			}
		}
	}
	enter := func(line string) {
		if _, err := io.WriteString(tty, line); err != nil {
			t.Fatal(err)
		}
	}
	enter("stty size; echo kind-$TERM; pwd; printf '\\033]52;c;ZXZpbA==\\007'; echo ready-$((1+1))\n")
	want("31 77")
	want("kind-xterm-256color")
	want(e.proj)
	want("ready-2")
	if strings.Contains(got.String(), "\x1b]52") {
		t.Errorf("the clipboard was reached: %q", got.String())
	}
	enter("sh -c 'trap \"echo stopped-\\$((1+1)); exit\" INT; echo first-$((20+2)); while :; do sleep 0.1; done'\n")
	want("first-22")
	enter("\x03")
	want("stopped-2")
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	enter("until [ \"$(stty size)\" = '24 90' ]; do sleep 0.05; done; echo win-$((1+1))\n")
	want("win-2")
	enter("exit 5\n")
	_, _ = io.Copy(&got, tty)
	_ = c.Wait()
	if n := c.ProcessState.ExitCode(); n != 5 {
		t.Errorf("status %d: %q", n, got.String())
	}
}

func sshFiles(t *testing.T, e *entered) {
	data := make([]byte, 3<<20+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	up := filepath.Join(e.home, "up")
	e.write(filepath.Join(up, "a b", "ü"), string(data))
	e.write(filepath.Join(up, "\xff"), "bytes")
	e.must("scp", "-r", "up", "box.belljar:~/copy")
	e.must("scp", "-r", "box.belljar:copy", "down")
	e.must("rsync", "-a", "up/", "box.belljar:synced/")
	e.must("rsync", "-a", "box.belljar:synced/", "back/")
	for _, dir := range []string{"down", "back"} {
		if b, err := os.ReadFile(filepath.Join(e.home, dir, "a b", "ü")); err != nil || !bytes.Equal(b, data) {
			t.Errorf("%s: %d bytes, %v", dir, len(b), err)
		}
		if b, err := os.ReadFile(filepath.Join(e.home, dir, "\xff")); err != nil || string(b) != "bytes" {
			t.Errorf("%s: %q, %v", dir, b, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(e.home, "copy")); err == nil {
		t.Error("scp wrote into the host's HOME")
	}
	// In the project what passes passes, what runs by itself waits, and secrets are not there.
	c := e.client("sftp", "-b", "-", "box.belljar")
	c.Stdin = strings.NewReader("cd " + e.proj + "\nput up/\xff passes\nput up/\xff .envrc\n-get .env stolen\n-get " + e.home + "/.netrc stolen\nls -la\n")
	out, err := c.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("passes")) {
		t.Fatalf("%v\n%s", err, out)
	}
	if e.read("passes") != "bytes" || e.exists(".envrc") {
		t.Errorf("passes %v, .envrc landed %v", e.exists("passes"), e.exists(".envrc"))
	}
	if b, err := os.ReadFile(filepath.Join(e.home, "stolen")); err == nil {
		t.Errorf("a secret was read: %q", b)
	}
}

// sshForward: a connection is forwarded to the sandbox's own loopback, where a service of
// it answers, and nowhere else, whoever listens there.
func sshForward(t *testing.T, e *entered) {
	testenv.Need(t, "python3")
	const serve = `import socket,sys
l=socket.create_server(("127.0.0.1",0)); print("port",l.getsockname()[1],flush=True)
while True:
  c,_=l.accept(); n=0
  while True:
    b=c.recv(65536)
    if not b: break
    n+=len(b)
  c.sendall(b"inside heard %d"%n); c.close()`
	srv := e.client("ssh", "box.belljar", "python3 -c '"+serve+"'")
	out, err := srv.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = srv.Process.Kill()
		_ = srv.Wait()
	}()
	var port int
	if _, err := fmt.Fscanf(out, "port %d\n", &port); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"127.0.0.1", "localhost"} {
		r := e.try(strings.Repeat("x", 1<<20), "ssh", "-W", fmt.Sprintf("%s:%d", to, port), "box.belljar")
		if r.out != "inside heard 1048576" {
			t.Errorf("%s: %d %q %s", to, r.status, r.out, r.errout)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan struct{}, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			_ = c.Close()
		}
	}()
	for to, why := range map[string]string{
		l.Addr().String():    "nothing inside the sandbox answers", // the host's loopback
		"10.0.0.1:80":        "own loopback only",
		"169.254.169.254:80": "own loopback only",
		"example.com:443":    "own loopback only",
		"198.18.0.1:3128":    "own loopback only",
	} {
		if r := e.try("", "ssh", "-W", to, "box.belljar"); r.status != 255 || r.out != "" || !strings.Contains(r.errout, why) {
			t.Errorf("%s: %d %q %s", to, r.status, r.out, r.errout)
		}
	}
	sshListeners(t, e, port, l.Addr().String())
	if len(reached) > 0 {
		t.Error("the host's loopback was reached")
	}
	if r := e.try("", "ssh", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:1", "box.belljar", "true"); r.status != 255 || !strings.Contains(r.errout, "is refused") {
		t.Errorf("-R: %d %s", r.status, r.errout)
	}
}

// remembered dials, and remembers the connection, whose half is closed.
type remembered struct{ last *net.TCPConn }

func (r *remembered) Dial(network, addr string) (net.Conn, error) {
	c, err := net.Dial(network, addr)
	if err == nil {
		r.last = c.(*net.TCPConn)
	}
	return c, err
}

// sshListeners: what ssh listens on (-L, and -D as editors have it) leads to the service
// on port inside, and not to other, which listens on the host's loopback.
func sshListeners(t *testing.T, e *entered, port int, other string) {
	var at [2]string
	for i := range at {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at[i] = l.Addr().String()
		_ = l.Close()
	}
	c := e.client("ssh", "-T", "-o", "ExitOnForwardFailure=yes", "-L", fmt.Sprintf("%s:localhost:%d", at[0], port), "-D", at[1], "box.belljar", "echo ready; cat")
	in, _ := startReady(t, c) // ssh listens before it starts a command
	defer func() {
		_ = in.Close()
		_ = c.Wait()
	}()
	var direct remembered
	socks, err := proxy.SOCKS5("tcp", at[1], nil, &direct)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(dial func() (net.Conn, error)) string {
		c, err := dial()
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(hangs))
		_, _ = io.WriteString(c, "hello")
		_ = direct.last.CloseWrite()
		b, _ := io.ReadAll(c)
		return string(b)
	}
	inside := fmt.Sprintf("localhost:%d", port)
	for range 3 {
		if got := ask(func() (net.Conn, error) { return direct.Dial("tcp", at[0]) }); got != "inside heard 5" {
			t.Errorf("-L: %q", got)
		}
		if got := ask(func() (net.Conn, error) {
			return socks.Dial("tcp", inside)
		}); got != "inside heard 5" {
			t.Errorf("-D: %q", got)
		}
	}
	for _, to := range []string{other, "example.com:443", "10.0.0.1:80"} {
		if got := ask(func() (net.Conn, error) { return socks.Dial("tcp", to) }); strings.Contains(got, "heard") || got == "" {
			t.Errorf("-D to %s: %q", to, got)
		}
	}
}

// TestSSHGone: whatever becomes of a client, the command that it started ends, and the
// sandbox goes on.
func TestSSHGone(t *testing.T) {
	e := enterBox(t, "")
	for i, end := range []func(ssh *exec.Cmd){
		func(ssh *exec.Cmd) { _ = ssh.Process.Kill() },
		func(ssh *exec.Cmd) { _ = ssh.Process.Signal(syscall.SIGTERM) },
		func(ssh *exec.Cmd) { // its ProxyCommand, which is the server
			for _, p := range testenv.Children(ssh.Process.Pid) {
				_ = syscall.Kill(p, syscall.SIGKILL)
			}
		},
	} {
		for _, flag := range []string{"-T", "-tt"} {
			mark := fmt.Sprintf("%d", 4321000+10*i+len(flag))
			c := e.client("ssh", flag, "box.belljar", "echo ready; exec sleep "+mark)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			readUntil(t, out, "ready")
			end(c)
			_ = c.Wait()
			// The bracket keeps the pattern from finding the shell that looks for it.
			look := "for i in $(seq 300); do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q 'sleep [4]" + mark[1:] + "' || exit 0; sleep 0.1; done; exit 9"
			if r := e.try("", "ssh", "box.belljar", look); r.status != 0 {
				t.Errorf("%d %s: what it started still runs: %d %s", i, flag, r.status, r.errout)
			}
		}
	}
}

// TestSSHConfig: the command writes its block once and takes it out again.
func TestSSHConfig(t *testing.T) {
	testenv.Need(t, "only-run")
	w := newWorld(t)
	path := filepath.Join(w.home, ".ssh", "config")
	const own = "Host *\r\n  User me\n# no end"
	w.write(path, own)
	for range 2 {
		if r := w.belljar("ssh-config"); r.status != 0 || r.out != "" {
			t.Fatalf("%+v", r)
		}
		b, err := os.ReadFile(path)
		if err != nil || !strings.HasSuffix(string(b), "\n"+own) || strings.Count(string(b), "ProxyCommand") != 1 {
			t.Fatalf("%q %v", b, err)
		}
		if p := w.belljar("ssh-config", "--print"); p.status != 0 || p.out+own != string(b) {
			t.Errorf("--print: %+v", p)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if r := w.belljar("ssh-config", "--remove"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != own {
		t.Errorf("%q %v", b, err)
	}
}
