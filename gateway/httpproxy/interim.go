package httpproxy

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"sync"
)

// maxInterim is how many interim responses of one request are passed on: net/http
// leaves it to us to count them.
const maxInterim = 32

var errInterim = errors.New("too many interim responses")

// unsaid is no name that a server can send.
const unsaid = ":unsaid"

// Unsay keeps an interim response with header h, which a trace of the request is told of,
// from being passed on.
func Unsay(h textproto.MIMEHeader) {
	clear(h)
	h[unsaid] = nil
}

// passes says whether an interim response is passed on. 100 is not: it is said when the
// body is read.
func passes(code int, h textproto.MIMEHeader) bool {
	_, no := h[unsaid]
	return !no && code != http.StatusContinue && code != http.StatusSwitchingProtocols
}

// An interim writes interim responses (1xx) to a client of HTTP/1 while its request is
// being sent.
type interim struct {
	mu    sync.Mutex
	w     *bufio.Writer
	ended bool // the final response is being written
	count int
}

var errEnded = errors.New("the final response has begun")

// pass writes one that arrived.
func (i *interim) pass(code int, h textproto.MIMEHeader) error {
	if !passes(code, h) {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return nil
	}
	if i.count++; i.count > maxInterim {
		return errInterim
	}
	head := http.Header(h)
	removeHop(head)
	head.Del("Content-Length")
	fmt.Fprintf(i.w, "HTTP/1.1 %03d %s\r\n", code, http.StatusText(code))
	_ = head.Write(i.w)
	_, _ = i.w.WriteString("\r\n")
	return i.w.Flush()
}

// proceed tells the client to send the body.
func (i *interim) proceed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return errEnded
	}
	_, _ = i.w.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
	return i.w.Flush()
}

// end keeps everything after it from being written.
func (i *interim) end() {
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
}

// announce names the trailers that a response will have.
func announce(h, trailer http.Header) {
	for name := range trailer {
		h.Add("Trailer", name)
	}
}
