package guest

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestConnect: it connects to the loopback's first address that answers, passes bytes
// until both sides have ended, and goes nowhere else.
func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{}, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- struct{}{}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				fmt.Fprintf(c, "heard %d", len(b))
			}()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	good := fmt.Sprintf("127.0.0.1:%d", port)
	for _, c := range []struct {
		addrs []string
		want  string
		code  int
	}{
		{[]string{good}, string(belljar.HelperConnected) + "heard 1048576", 0},
		{[]string{fmt.Sprintf("[::1]:%d", port), good}, string(belljar.HelperConnected) + "heard 1048576", 0},
		{[]string{"127.0.0.1:1"}, "-", 1},
		{nil, "-", 1},
		{[]string{"garbage"}, "-", 1},
		{[]string{"localhost:80"}, "-", 1},
		{[]string{"10.0.0.1:80", good}, "-", 1},
		{[]string{fmt.Sprintf("0.0.0.0:%d", port)}, "-", 1},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		code := make(chan int, 1)
		go func() {
			code <- connect(c.addrs, strings.NewReader(strings.Repeat("x", 1<<20)), w)
			_ = w.Close()
		}()
		out, err := io.ReadAll(r)
		if n := <-code; err != nil || string(out) != c.want || n != c.code {
			t.Errorf("%q: %d %q %v", c.addrs, n, out, err)
		}
	}
	if n := len(accepted); n != 2 {
		t.Errorf("%d connections were made", n)
	}
}
