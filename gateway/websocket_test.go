package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// switched takes a connection of a server over, as one that has become a WebSocket's; nil
// where it cannot.
func switched(t testing.TB, rw http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, br, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	return conn, br
}

// TestReadOnlyRuleTakesNoWebSocket: what is sent behind one is not judged.
func TestReadOnlyRuleTakesNoWebSocket(t *testing.T) {
	n := apiNetwork()
	n.Rules = append(n.Rules, confined("read.example.com", 443, "POST", "/chat"))
	w := newSecureWorld(t, n)
	got := make(chan string, 1)
	w.site("read.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) {
		c, br := switched(t, rw)
		if c == nil {
			return
		}
		defer c.Close()
		l, _ := br.ReadString('\n')
		got <- l
	})
	for path, want := range map[string]int{"/x": 403, "/chat": 101} {
		c, err := w.tls("read.example.com", 443, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: read.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %v, %v", path, resp, err)
		}
		if path == "/chat" { // another rule lets things be sent there
			_, _ = io.WriteString(c, "sent\n")
			if l := <-got; l != "sent\n" {
				t.Errorf("the server read %q", l)
			}
		} else if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "a WebSocket, on which anything may be sent, where the policy allows reading only") {
			t.Errorf("the refusal says %q", b)
		}
		c.Close()
	}
}
