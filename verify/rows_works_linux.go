package verify

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// worksRows are what a sandbox must not break.
func worksRows() []row {
	lines := func(id, what, sh string) row { return row{id: "works/" + id, name: what, works: true, sh: sh} }
	rows := []row{
		{id: "works/write", name: "write, rename and remove files of the project", works: true, sh: "mkdir w && echo one > w/a && mv w/a w/b && rm plain && chmod +x w/b",
			judge: judgement{host: func(w *world) (bool, string) {
				b, err := os.ReadFile(filepath.Join(w.project(), "w/b"))
				if _, gone := os.Lstat(filepath.Join(w.project(), "plain")); gone == nil {
					return false, "a file that was removed is still there"
				}
				return string(b) == "one\n", fmt.Sprint(err)
			}}},
		{id: "works/commit", name: "git add and commit arrive on the host", works: true, excuse: programMissing("git"),
			sh: "echo two > two && git add two && git commit -q -m two && git rev-parse HEAD > two.id && git status --porcelain > /dev/null && git log -1 | cat",
			judge: judgement{host: func(w *world) (bool, string) {
				id, err1 := os.ReadFile(filepath.Join(w.project(), "two.id"))
				ref, err2 := os.ReadFile(filepath.Join(w.project(), ".git/refs/heads/main"))
				return len(id) > 20 && string(id) == string(ref), fmt.Sprint(errors.Join(err1, err2))
			}}},
		lines("branch", "git checkout -b, config, stash and remote work inside", "cd repos && git init -q own && cd own && git checkout -q -b x && git config user.x y && git config --get user.x && git remote add o https://example.com/x && git commit -q --allow-empty -m x && git remote -v"),
		lines("hold-inside", "a held file is there inside after it is written", "mkdir -p .idea2 .vscode && echo x > .vscode/inside.json && grep -q x .vscode/inside.json && echo '#!/bin/sh' > .git/hooks/x && chmod +x .git/hooks/x && test -x .git/hooks/x"),
		lines("tmp", "mktemp, /tmp, /var/tmp and /dev/shm", "f=$(mktemp) && echo x > $f && echo x > /var/tmp/x && echo x > /dev/shm/x && rm $f"),
		lines("home", "write HOME and ~/.cache", "echo x > ~/works-x && mkdir -p ~/.cache/works ~/.npm && echo x > ~/.cache/works/x && test -w ~"),
		lines("devices", "the usual devices", "head -c 4 /dev/urandom > /dev/null && head -c 4 /dev/zero > /dev/null && echo x > /dev/null && ls /dev/fd/ > /dev/null"),
		lines("links", "links inside the project", "echo x > la && ln -s la lb && ln la lc && cat lb lc && test -L lb"),
		lines("identity", "an identity, a HOME, and files that belong to it", "id -u && test -n \"$HOME\" && cd ~ && cd - && test \"$(stat -c %u README)\" = \"$(id -u)\""),
		{id: "works/read-only-system", name: "programs of the system run", works: true, sh: "ls /usr/bin > /dev/null && sed --version > /dev/null && awk 'BEGIN{exit 0}'"},
		{id: "works/allowed-http", name: "an allowed name over HTTP, without a proxy variable", works: true, judge: judgement{hit: true}, waits: true, do: func(a *attacker) (bool, string) {
			return a.tell("works/allowed-http", "allowed.test:80", "allowed.test")
		}},
		{id: "works/allowed-tls", name: "an allowed name over TLS", works: true, waits: true, do: allowedTLS},
		{id: "works/proxy", name: "an allowed name through the proxy", works: true, judge: judgement{hit: true}, waits: true, do: func(a *attacker) (bool, string) {
			return a.connect("allowed.test:80", func(c net.Conn) (bool, string) {
				return request(c, "GET /"+word("works/proxy")+" HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")
			})
		}},
		{id: "works/listen", name: "listen on 127.0.0.1 and connect to it", works: true, do: func(*attacker) (bool, string) { return echoOn("tcp", "127.0.0.1:0") }},
		{id: "works/unix-socket", name: "a unix socket of one's own", works: true, do: func(*attacker) (bool, string) {
			return echoOn("unix", filepath.Join(os.TempDir(), fmt.Sprintf("works-%d.sock", os.Getpid())))
		}},
		{id: "works/abstract-socket", name: "an abstract socket of one's own", works: true, do: func(*attacker) (bool, string) { return echoOn("unix", "@works-own") }},
		{id: "works/debugger", name: "trace a child of one's own", works: true, own: true, do: traceChild},
		{id: "works/terminal", name: "make a terminal of one's own", works: true, do: func(*attacker) (bool, string) {
			m, s, err := pty.Open()
			if err != nil {
				return false, err.Error()
			}
			defer m.Close()
			defer s.Close()
			_, err = io.WriteString(s, "x")
			return err == nil, fmt.Sprint(err)
		}},
		{id: "works/memory-file", name: "memfd, eventfd, inotify and a pipe", works: true, do: func(*attacker) (bool, string) {
			m, err1 := unix.MemfdCreate("x", 0)
			e, err2 := unix.Eventfd(0, 0)
			i, err3 := unix.InotifyInit1(0)
			for _, fd := range []int{m, e, i} {
				if fd > 0 {
					unix.Close(fd)
				}
			}
			err := errors.Join(err1, err2, err3)
			return err == nil, fmt.Sprint(err)
		}},
		{id: "works/lock", name: "lock a file of the project", works: true, do: func(a *attacker) (bool, string) {
			f, err := os.OpenFile(a.path("README"), os.O_RDWR, 0)
			if err != nil {
				return false, err.Error()
			}
			defer f.Close()
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			return err == nil, fmt.Sprint(err)
		}},
		{id: "works/many", name: "fifty processes at once", works: true, sh: "for i in $(seq 50); do sleep 0.2 & done; wait"},
	}
	return rows
}

// echoOn listens, connects and sends a word.
func echoOn(network, at string) (bool, string) {
	l, err := net.Listen(network, at)
	if err != nil {
		return false, err.Error()
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := net.DialTimeout(network, l.Addr().String(), 10*time.Second)
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 4)
	if _, err := io.WriteString(c, "word"); err != nil {
		return false, err.Error()
	}
	_, err = io.ReadFull(c, b)
	return string(b) == "word", fmt.Sprint(err)
}

func allowedTLS(a *attacker) (bool, string) {
	c, err := a.dial("tcp", "allowed.test:443")
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	t := tlsClient(c, "allowed.test")
	if err := t.Handshake(); err != nil {
		return false, err.Error()
	}
	return request(t, "GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")
}

// traceChild starts a child under ptrace, reads its registers and lets it go on.
func traceChild(*attacker) (bool, string) {
	c := exec.Command("true")
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	runtime.LockOSThread() // a tracer is a thread
	if err := c.Start(); err != nil {
		return false, err.Error()
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(c.Process.Pid, &ws, 0, nil); err != nil || !ws.Stopped() {
		return false, fmt.Sprint(err, ws)
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(c.Process.Pid, &regs); err != nil {
		return false, err.Error()
	}
	if err := unix.PtraceCont(c.Process.Pid, 0); err != nil {
		return false, err.Error()
	}
	_, err := unix.Wait4(c.Process.Pid, &ws, 0, nil)
	return err == nil && ws.Exited() && ws.ExitStatus() == 0, strings.TrimSpace(fmt.Sprint(err, ws))
}
