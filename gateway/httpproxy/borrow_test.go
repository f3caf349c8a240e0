package httpproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answers answers every request with its path.
type answers struct{}

func (answers) Handle(*http.Request) Action { return Action{Forward: answers{}} }

func (answers) Failed(_ *http.Request, err error) *Reply {
	return &Reply{Status: http.StatusBadRequest, Body: err.Error()}
}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, ContentLength: int64(len(r.URL.Path)),
		Body: io.NopCloser(strings.NewReader(r.URL.Path)),
	}, nil
}

func request(i, field, body int) string {
	return fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX: %s\r\n\r\n%s", i, body, strings.Repeat("x", field), strings.Repeat("b", body))
}

// TestBorrowedReader: without a reader of its own a connection loses no byte of requests
// that follow each other, whatever the sizes of their heads and bodies and however they
// are cut.
func TestBorrowedReader(t *testing.T) {
	sizes := []int{1, readSize - 80, readSize - 1, readSize, readSize + 1, 2*readSize - 70, 3 * readSize, MaxHead - readSize - 50, MaxHead - 200, 10}
	for _, cut := range []int{1 << 20, readSize, 1000, 7} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			var all strings.Builder
			for i, n := range sizes {
				all.WriteString(request(i, n, n%5000))
			}
			// One that ends where the buffer for large heads does.
			last := request(len(sizes), MaxHead-len(request(len(sizes), 0, 100)), 100)
			if len(last) != MaxHead {
				t.Fatal(len(last))
			}
			all.WriteString(last + request(len(sizes)+1, 1, 1))
			here, there := net.Pipe()
			done := make(chan struct{})
			go func() { defer close(done); Serve(context.Background(), there, nil, answers{}); there.Close() }()
			defer func() { here.Close(); <-done }()
			_ = here.SetDeadline(time.Now().Add(2 * time.Minute))
			go func() {
				for text := all.String(); text != ""; {
					n := min(cut, len(text))
					if _, err := io.WriteString(here, text[:n]); err != nil {
						return
					}
					text = text[n:]
				}
			}()
			br := bufio.NewReader(here)
			for i := range len(sizes) + 2 {
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				body, err := io.ReadAll(resp.Body)
				if want := fmt.Sprintf("/%d", i); err != nil || string(body) != want {
					t.Fatalf("answer %d: %q, %v", i, body, err)
				}
			}
		})
	}
}

// TestImpossibleStatus: a status that cannot be written is not passed on as another one.
func TestImpossibleStatus(t *testing.T) {
	for code, want := range map[int]string{200: "HTTP/1.1 200 ", -1200: "", 99: "", 1200: "", 10_200: ""} {
		var out strings.Builder
		s := &session{bw: bufio.NewWriter(&out)}
		_, err := s.respond(&http.Request{Method: "HEAD"}, &http.Response{StatusCode: code, Header: http.Header{}, ContentLength: -1}, false)
		if (err == nil) != (want != "") || !strings.HasPrefix(out.String(), want) || want == "" && out.Len() > 0 {
			t.Errorf("%d: %q, %v", code, out.String(), err)
		}
	}
}
