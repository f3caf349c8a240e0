package ssh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/creack/pty"
)

// A box is a place that OpenSSH comes into by our block.
type box struct {
	t    testing.TB
	dir  string
	home string
	conf string
}

func newBox(t testing.TB) *box {
	t.Helper()
	testenv.Need(t, "ssh")
	b := &box{t: t, dir: t.TempDir()}
	b.home, b.conf = filepath.Join(b.dir, "home"), filepath.Join(b.dir, "config")
	if err := os.Mkdir(b.home, 0o700); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(b.dir, "it's 100% me") // what the shell and ssh must not touch
	if err := os.Link("/proc/self/exe", self); err != nil {
		copyFile(t, "/proc/self/exe", self)
	}
	text, err := Client{Program: self, KnownHosts: KnownHosts(filepath.Join(b.dir, "key"))}.Block()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rewrite(b.conf, text); err != nil {
		t.Fatal(err)
	}
	return b
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cmd is a client with our configuration; nothing else of the user's is read.
func (b *box) cmd(name string, args ...string) *exec.Cmd {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*hangs)
	b.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, name, append([]string{"-F", b.conf}, args...)...)
	c.Env = append(testenv.Environ(), "HOME="+b.home, "SHELL=/bin/sh", "LANG=C.UTF-8", "LC_TIME=xx_YY.UTF-8", "SECRET=s3cret", "TERM=vt220")
	c.Dir = b.dir
	return c
}

func (b *box) run(stdin string, args ...string) (out, errout string, status int) {
	b.t.Helper()
	c := b.cmd("ssh", args...)
	var o, e bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &o, &e
	var ee *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ee) {
		b.t.Fatal(err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

const host = "box" + Domain

func TestCommands(t *testing.T) {
	b := newBox(t)
	for _, c := range []struct {
		args   []string
		stdin  string
		out    string
		errout string
		status int
	}{
		{args: []string{host, "echo out; echo err >&2; exit 7"}, out: "out\n", errout: "err\n", status: 7},
		{args: []string{host, "cat"}, stdin: "to and fro", out: "to and fro"},
		{args: []string{host, "kill -TERM $$"}, status: 255},
		{args: []string{host, "pwd"}, out: b.home + "\n"},
		{args: []string{host, "echo $LANG $LC_TIME"}, out: "C.UTF-8 xx_YY.UTF-8\n"},
		{args: []string{host, "printf '%s' 'a  b' \"'\""}, out: "a  b'"},
		{args: []string{host, "printf %s '\xff\xfe%d\\n'"}, out: "\xff\xfe%d\\n"},
		{args: []string{"-T", host}, stdin: "pwd; echo shell; exit 3\n", out: b.home + "\nshell\n", status: 3},
		{args: []string{host, "no-start"}, errout: "belljar: error: start \\x1b[31m: no\nbelljar: hint: do\\nnot\n", status: 126},
		{args: []string{host, "yes | head -c 10"}, out: "y\ny\ny\ny\ny\n"},
	} {
		out, errout, status := b.run(c.stdin, c.args...)
		if out != c.out || errout != c.errout || status != c.status {
			t.Errorf("%q: %d %q %q, want %d %q %q", c.args, status, out, errout, c.status, c.out, c.errout)
		}
	}
	if out, _, _ := b.run("", "-o", "SendEnv=SECRET", "-o", "SetEnv=LD_PRELOAD=/x", host, "env"); !strings.Contains(out, "LANG=") || strings.Contains(out, "LD_PRELOAD") {
		t.Errorf("variables: %s", out)
	}
	if _, errout, status := b.run("", "other"+Domain, "true"); status != 255 || !strings.Contains(errout, "no such box") {
		t.Errorf("another name: %d %s", status, errout)
	}
}

// TestBinaryClean: twenty megabytes pass both ways as they are, with standard error apart.
func TestBinaryClean(t *testing.T) {
	b := newBox(t)
	data := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	for _, rekey := range []string{"default", "1M"} { // also while keys are made anew
		binaryClean(t, b, data, "-o", "RekeyLimit="+rekey)
	}
}

func binaryClean(t *testing.T, b *box, data []byte, flags ...string) {
	t.Helper()
	out, errout, status := b.run(string(data), append(flags, host, "tee /dev/stderr")...)
	if status != 0 || out != string(data) || errout != string(data) {
		t.Errorf("%q: %d: %x %x of %d %d bytes, want %x", flags, status, sha256.Sum256([]byte(out)), sha256.Sum256([]byte(errout)), len(out), len(errout), sha256.Sum256(data))
	}
}

// TestReaderGone: a command that prints for ever ends when its reader has gone.
func TestReaderGone(t *testing.T) {
	b := newBox(t)
	c := b.cmd("ssh", host, "yes; echo $? >&2")
	var errout bytes.Buffer
	c.Stderr = &errout
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 4<<10)); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	_ = c.Wait()
	if c.ProcessState.ExitCode() == -1 {
		t.Errorf("it did not end by itself: %s", errout.String())
	}
}

// A console is a terminal that a client runs on.
type console struct {
	t   *testing.T
	tty *os.File
	got bytes.Buffer
}

func (b *box) console(t *testing.T, size pty.Winsize, args ...string) (*console, *exec.Cmd) {
	t.Helper()
	c := b.cmd("ssh", args...)
	tty, err := pty.StartWithSize(c, &size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return &console{t: t, tty: tty}, c
}

// want reads until text has come.
func (c *console) want(text string) {
	c.t.Helper()
	_ = c.tty.SetReadDeadline(time.Now().Add(hangs))
	buf := make([]byte, 4096)
	for !strings.Contains(c.got.String(), text) {
		n, err := c.tty.Read(buf)
		c.got.Write(buf[:n])
		if err != nil {
			c.t.Fatalf("%q never came: %v\n%q", text, err, c.got.String())
		}
	}
}

func (c *console) enter(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.tty, line); err != nil {
		c.t.Fatal(err)
	}
}

// TestTTY: a terminal has the client's kind and size, keys reach its programs, and the
// size follows.
func TestTTY(t *testing.T) {
	b := newBox(t)
	x, cmd := b.console(t, pty.Winsize{Rows: 31, Cols: 77}, "-tt", host)
	x.enter("stty size; echo kind-$TERM; pwd; echo ready-$((1+1))\n")
	x.want("31 77")
	x.want("kind-vt220")
	x.want(b.dir) // the project, not HOME
	x.want("ready-2")
	x.enter("sh -c 'trap \"echo stopped-\\$((1+1)); exit\" INT; echo first-$((20+2)); while :; do sleep 0.1; done'\n")
	x.want("first-22")
	x.enter("\x03")
	x.want("stopped-2")
	if err := pty.Setsize(x.tty, &pty.Winsize{Rows: 24, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	x.enter("until [ \"$(stty size)\" = '24 90' ]; do sleep 0.05; done; echo win-$((1+1))\n")
	x.want("win-2")
	x.enter("exit 5\n")
	_ = cmd.Wait()
	if n := cmd.ProcessState.ExitCode(); n != 5 {
		t.Errorf("status %d", n)
	}
}

// TestForward: a forwarded port leads to the loopback inside, and nothing else is reached.
func TestForward(t *testing.T) {
	b := newBox(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in, _ := io.ReadAll(c) // its half ends before ours
				fmt.Fprintf(c, "heard %d", len(in))
			}()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	for _, to := range []string{"127.0.0.1", "localhost", "LOCALHOST"} {
		out, errout, _ := b.run(strings.Repeat("x", 1<<20), "-W", fmt.Sprintf("%s:%d", to, port), host)
		if out != "heard 1048576" {
			t.Errorf("%s: %q %s", to, out, errout)
		}
	}
	for to, why := range map[string]string{
		fmt.Sprintf("10.0.0.1:%d", port): "own loopback only", fmt.Sprintf("127.0.0.2:%d", port): "own loopback only",
		"169.254.169.254:80": "own loopback only", "example.com:443": "own loopback only", fmt.Sprintf("[::ffff:127.0.0.1]:%d", port): "own loopback only",
		"0.0.0.0:80": "own loopback only", "localhost.:80": "own loopback only", "[fe80::1]:80": "own loopback only",
		"localhost:1": "nothing inside the sandbox answers",
	} {
		out, errout, status := b.run("", "-W", to, host)
		if status != 255 || out != "" || !strings.Contains(errout, why) {
			t.Errorf("%s: %d %q %s", to, status, out, errout)
		}
	}
	_, errout, status := b.run("", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:1", host, "true")
	if status != 255 || !strings.Contains(errout, "forwarding back (ssh -R) is refused") {
		t.Errorf("-R: %d %s", status, errout)
	}
	if out, errout, _ := b.run("", "-A", host, "echo ${SSH_AUTH_SOCK:-none}"); out != "none\n" && os.Getenv("SSH_AUTH_SOCK") == "" {
		t.Errorf("-A: %s %s", out, errout)
	}
}

// TestMany: many sessions share one connection, and no more than there is room for.
func TestMany(t *testing.T) {
	b := newBox(t)
	at := filepath.Join(b.dir, "m")
	master := b.cmd("ssh", "-M", "-S", at, "-o", "ControlPersist=no", host, "echo ready; cat")
	in, _ := master.StdinPipe()
	out, _ := master.StdoutPipe()
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	type client struct {
		*exec.Cmd
		in io.Closer
	}
	var all []client
	for i := range maxChannels - 1 { // and the master's own
		c := b.cmd("ssh", "-S", at, host, "echo ready; cat")
		in, _ := c.StdinPipe()
		out, _ := c.StdoutPipe()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
		all = append(all, client{c, in})
	}
	if _, errout, status := b.run("", "-S", at, "-o", "ProxyCommand=false", host, "true"); status == 0 {
		t.Errorf("one too many: %d %s", status, errout)
	}
	for _, c := range all {
		_ = c.in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if out, errout, status := b.run("", "-S", at, "-o", "ProxyCommand=false", host, "echo room"); out != "room\n" || status != 0 {
		t.Errorf("there is room again: %d %s %s", status, out, errout)
	}
	_ = in.Close()
	if err := master.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFiles: sftp and scp, both ways.
func TestFiles(t *testing.T) {
	testenv.Need(t, "sftp", "scp")
	b := newBox(t)
	data := make([]byte, 3<<20+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	tree := filepath.Join(b.dir, "tree", "a b", "ü")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "file's"), data, 0o750); err != nil {
		t.Fatal(err)
	}
	do := func(name string, args ...string) {
		t.Helper()
		if out, err := b.cmd(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	do("scp", "-rp", "tree", host+":~/up")
	do("scp", "-r", host+":up", "down")
	for _, p := range []string{"home/up", "down"} {
		at := filepath.Join(b.dir, p, "a b", "ü", "file's")
		if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v, %d bytes", p, err, len(got))
		}
		if st, err := os.Stat(at); err == nil && st.Mode().Perm() != 0o750 {
			t.Errorf("%s: mode %v", p, st.Mode())
		}
	}
	c := b.cmd("sftp", "-b", "-", host)
	c.Stdin = strings.NewReader("pwd\nmkdir d\ncd d\nput \"tree/a b/ü/file's\" one\nrename one two\nln -s two link\nchmod 600 two\nls -l\nget two back\nrm two\n-rm nothing\n")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "-rw-------") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(b.dir, "back")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
	if to, err := os.Readlink(filepath.Join(b.home, "d", "link")); err != nil || to != "two" {
		t.Errorf("the link leads to %q %v", to, err)
	}
}

// TestRsyncAndGit: what runs its own protocol in a session works.
func TestRsyncAndGit(t *testing.T) {
	testenv.Need(t, "rsync", "git")
	b := newBox(t)
	src := filepath.Join(b.dir, "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a b", "ü", "\xff", "-x"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(name string, args ...string) {
		t.Helper()
		c := b.cmd("ssh")
		c.Path, _ = exec.LookPath(name)
		c.Args = append([]string{name}, args...)
		c.Env = append(c.Env, "GIT_SSH_COMMAND=ssh -F "+b.conf, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	do("rsync", "-a", "-e", "ssh -F "+b.conf, "src/", host+":copy/")
	do("rsync", "-a", "-e", "ssh -F "+b.conf, host+":copy/", "back/")
	do("rsync", "-a", "-e", "ssh -F "+b.conf, host+":copy/\xff", "one")
	for _, name := range []string{"back/a b", "back/ü", "back/\xff", "back/-x", "one"} {
		if got, err := os.ReadFile(filepath.Join(b.dir, name)); err != nil || string(got) != strings.Replace(filepath.Base(name), "one", "\xff", 1) {
			t.Errorf("%q: %q %v", name, got, err)
		}
	}
	do("git", "init", "-q", "-b", "main", "src")
	do("git", "-C", "src", "add", "ü")
	do("git", "-C", "src", "commit", "-qm", "first")
	do("git", "clone", "-q", "ssh://"+host+src, "clone")
	do("git", "-C", "clone", "push", "-q", "origin", "HEAD:refs/heads/more")
	if got, err := os.ReadFile(filepath.Join(b.dir, "clone", "ü")); err != nil || string(got) != "ü" {
		t.Errorf("%q %v", got, err)
	}
}
