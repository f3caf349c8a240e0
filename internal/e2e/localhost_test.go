package e2e

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// localhostProgram connects to a port of the host in several ways. It prints what it
// heard and which addresses it sees, and at last what becomes of a second port, where
// nobody listens.
const localhostProgram = `
import errno, os, select, socket, sys
port, none = int(sys.argv[1]), int(sys.argv[2])
def talk(name, s):
    names = (s.getsockname()[0], *s.getpeername()[:2])
    s.sendall(name.encode() + b"\n")
    s.shutdown(socket.SHUT_WR)
    heard = b""
    while True:
        b = s.recv(100)
        if not b: break
        heard += b
    print(name, heard.decode().strip(), *names)
def made(family, bind=None, to="127.0.0.1"):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(60)
    if bind: s.bind((bind, 0))
    s.connect((to, port))
    return s
talk("plain", made(socket.AF_INET))
talk("bound", made(socket.AF_INET, "127.0.0.1"))
talk("any", made(socket.AF_INET, "0.0.0.0"))
talk("six", made(socket.AF_INET6, None, "::1"))
talk("mapped", made(socket.AF_INET6, None, "::ffff:127.0.0.1"))
s = socket.socket(); s.setblocking(False)
if s.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS): print("connect")
select.select([], [s], [], 60)
print("error", s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.connect_ex(("127.0.0.1", port)) in (0, errno.EISCONN))
s.setblocking(True)
talk("later", s)
try:
    b = socket.create_server(("127.0.0.1", port)); print("taken twice")
except OSError as e: print("taken", errno.errorcode[e.errno])
other = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(other.getsockname()); a, _ = other.accept(); c.close(); print("own", a.recv(1))
try:
    s = socket.create_connection(("127.0.0.1", none), 60); s.sendall(b"x"); print("ended", s.recv(1))
except OSError as e: print("refused", errno.errorcode[e.errno])
`

// TestLocalhostSockets: a program sees a service of the host, which a rule names, as
// one of its own loopback, however it connects.
func TestLocalhostSockets(t *testing.T) {
	w := newWorld(t)
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
				b := make([]byte, 100)
				if n, err := c.Read(b); err == nil {
					_, _ = c.Write(append([]byte("heard-"), b[:n]...))
				}
			}()
		}
	}()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	none := strconv.Itoa(closed.Addr().(*net.TCPAddr).Port)
	closed.Close()
	w.write("client.py", localhostProgram)
	out := w.sh("python3 client.py "+port+" "+none, "--allow", "localhost:"+port, "--allow", "localhost:"+none)
	for _, want := range []string{
		"plain heard-plain 127.0.0.1 127.0.0.1 " + port,
		"bound heard-bound 127.0.0.1 127.0.0.1 " + port,
		"any heard-any 127.0.0.1 127.0.0.1 " + port,
		"six heard-six ::1 ::1 " + port,
		"mapped heard-mapped ::ffff:127.0.0.1 ::ffff:127.0.0.1 " + port,
		"error 0 True",
		"later heard-later 127.0.0.1 127.0.0.1 " + port,
		"taken EADDRINUSE",
		"own b''",
	} {
		mustContain(t, "client.py", out, want+"\n")
	}
	if !strings.Contains(out, "refused ECONNREFUSED\n") && !strings.Contains(out, "refused ECONNRESET\n") && !strings.Contains(out, "refused EPIPE\n") {
		t.Errorf("a port where nobody listens: %s", out)
	}
}
