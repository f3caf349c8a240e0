package httpproxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asTLS looks like a connection within TLS.
type asTLS struct{ net.Conn }

func (asTLS) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }

// TestSlowAnswers: a connection whose client was watched goes on, also where the next
// request was sent ahead; a client that has gone ends its request.
func TestSlowAnswers(t *testing.T) {
	const request = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi"
	for _, c := range []struct {
		name   string
		secure bool
		send   []string
		leave  bool
		want   int // answers
	}{
		{"one after the other", true, []string{request, request, request}, false, 3},
		{"sent ahead", true, []string{request + request + request}, false, 3},
		{"in pieces", true, []string{request[:20], request[20 : len(request)-1], request[len(request)-1:]}, false, 1},
		{"gone", true, []string{request}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, peer := net.Pipe()
				conn := mine
				if c.secure {
					conn = asTLS{mine}
				}
				ended := 0
				rt := tripper(func(r *http.Request) (*http.Response, error) {
					_, _ = io.Copy(io.Discard, r.Body)
					select {
					case <-time.After(10 * time.Second):
						return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2}, nil
					case <-r.Context().Done():
						ended++
						return nil, r.Context().Err()
					}
				})
				served := make(chan struct{})
				go func() {
					defer close(served)
					defer mine.Close()
					Serve(t.Context(), conn, bufio.NewReader(conn), forwards{rt})
				}()
				answers := make(chan int)
				go func() {
					n := 0
					br := bufio.NewReader(peer)
					for {
						r, err := http.ReadResponse(br, nil)
						if err != nil {
							answers <- n
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						if r.StatusCode == 200 {
							n++
						}
					}
				}()
				for _, s := range c.send {
					_, _ = io.WriteString(peer, s)
					time.Sleep(time.Second)
				}
				if !c.leave {
					time.Sleep(time.Minute)
				}
				peer.Close()
				<-served
				if n := <-answers; n != c.want || c.leave != (ended == 1) {
					t.Errorf("%d answers, want %d; %d requests ended", n, c.want, ended)
				}
			})
		})
	}
}
