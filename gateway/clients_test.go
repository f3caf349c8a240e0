package gateway

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// door is a port of the host's loopback that leads to host inside, for programs.
func (w *secureWorld) door(host string, port uint16) string {
	return w.doorTo(w.addr(host).String(), port)
}

// doorTo is a port of the host's loopback that leads to an address inside.
func (w *secureWorld) doorTo(to string, port uint16) string {
	w.t.Helper()
	l := accepting(w.t, func(c net.Conn) {
		if in, err := w.dial(to, port); err == nil {
			both(c, in)
		}
	})
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

func both(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := p[1].Read(buf)
				if n > 0 {
					if _, werr := p[0].Write(buf[:n]); werr != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			_ = closeWrite(p[0])
		})
	}
	wg.Wait()
	a.Close()
	b.Close()
}

// TestPrograms: TLS libraries other than Go's accept the certificates and speak to the
// gateway.
func TestPrograms(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	port := w.door("api.example.com", 443)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(w.inside.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	const python = `
import ssl, socket, sys
ctx = ssl.create_default_context(cafile=sys.argv[2])
ctx.verify_flags |= ssl.VERIFY_X509_STRICT
s = ctx.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="api.example.com")
s.sendall(b"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
out = b""
while True:
    b = s.recv(4096)
    if not b: break
    out += b
sys.stdout.write(out.decode())
`
	const node = `
const s = require("tls").connect({host: "127.0.0.1", port: +process.argv[1], servername: "api.example.com", ca: require("fs").readFileSync(process.argv[2])}, () => {
  s.write("GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n");
});
s.on("data", d => process.stdout.write(d));
s.on("error", e => { console.log(e); process.exit(1); });
`
	curl := []string{"curl", "-sS", "--max-time", "100", "--cacert", ca, "--connect-to", "api.example.com:443:127.0.0.1:" + port}
	for _, c := range []struct {
		argv []string
		want string
	}{
		{append(curl[:len(curl):len(curl)], "--http2", "-w", " by %{http_version}", "https://api.example.com/v1/x"), "/v1/x 0 by 2"},
		{append(curl[:len(curl):len(curl)], "--http1.1", "-w", " by %{http_version}", "https://api.example.com/v1/x"), "/v1/x 0 by 1.1"},
		{append(curl[:len(curl):len(curl)], "--http2", "--path-as-is", "https://api.example.com/v1/../x"), "dot segment"},
		{append(curl[:len(curl):len(curl)], "--http2", "-T", "/proc/self/stat", "-w", "%{http_code}", "https://api.example.com/v1/x"), "403"},
		{append(curl[:len(curl):len(curl)], "--tls-max", "1.2", "https://api.example.com/v1/x"), "/v1/x 0"},
		{[]string{"python3", "-c", python, port, ca}, "/v1/x 0"},
		{[]string{"node", "-e", node, port, ca}, "/v1/x 0"},
	} {
		t.Run(c.argv[0], func(t *testing.T) {
			testenv.Need(t, c.argv[0])
			out, err := exec.Command(c.argv[0], c.argv[1:]...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%q: %v\n%s", c.argv, err, out)
			}
		})
	}
}
