package httpproxy

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
)

const (
	// MaxHead bounds a request's line and header together.
	MaxHead   = 64 << 10
	maxFields = 256
)

// A Fault says why a request's head is refused.
type Fault struct {
	Status int
	Reason string
}

// Error is the reason.
func (f *Fault) Error() string { return f.Reason }

func bad(reason string) error { return &Fault{http.StatusBadRequest, reason} }

var errTooLarge = &Fault{http.StatusRequestHeaderFieldsTooLarge, "the request's header is too large"}

// peekHead waits until a whole head is buffered and returns it without taking it
// out of the reader. The error is bufio.ErrBufferFull when the reader cannot hold it
// and is smaller than MaxHead. A head that is not ended by CRLF CRLF, or holds a bare
// line feed, is a [Fault].
func peekHead(br *bufio.Reader) ([]byte, error) {
	checked := 0
	for {
		b, _ := br.Peek(br.Buffered())
		if len(b) > 0 && !isToken(string(b[:1])) {
			return nil, bad("not HTTP")
		}
		for ; checked < len(b); checked++ {
			if b[checked] != '\n' {
				continue
			}
			if checked == 0 || b[checked-1] != '\r' {
				return nil, bad("a bare line feed in the request's header")
			}
			if checked >= 3 && b[checked-2] == '\n' {
				return b[:checked+1], nil
			}
		}
		if len(b) >= MaxHead {
			return nil, errTooLarge
		}
		if _, err := br.Peek(len(b) + 1); err != nil {
			return nil, err
		}
	}
}

// skipEmptyLines takes up to two empty lines before a request, as old clients
// send them after a body.
func skipEmptyLines(br *bufio.Reader) error {
	for range 2 {
		b, err := br.Peek(2)
		if len(b) == 0 || len(b) == 2 && string(b) != "\r\n" || len(b) == 1 && b[0] != '\r' {
			return nil
		}
		if err != nil {
			return err
		}
		_, _ = br.Discard(2)
	}
	return nil
}

// CheckHead is the strict reading of a head: whatever two parsers might read in
// two ways is refused.
func CheckHead(head []byte) error {
	text, ok := bytes.CutSuffix(head, []byte("\r\n\r\n"))
	if !ok {
		return bad("the request's header has no end")
	}
	lines := strings.Split(string(text), "\r\n")
	if err := checkLine(lines[0]); err != nil {
		return err
	}
	if len(lines) > maxFields {
		return errTooLarge
	}
	var host, length, coding int
	var hostValue string
	for _, l := range lines[1:] {
		name, value, found := strings.Cut(l, ":")
		if !found || !isToken(name) {
			return bad("a malformed header field")
		}
		if !isFieldValue(value) {
			return bad("a control byte in a header field")
		}
		switch value = strings.Trim(value, " \t"); strings.ToLower(name) {
		case "host":
			host++
			hostValue = value
		case "content-length":
			if length++; value == "" || strings.Trim(value, "0123456789") != "" {
				return bad("a malformed Content-Length")
			}
		case "transfer-encoding":
			if coding++; !strings.EqualFold(value, "chunked") {
				return bad("a transfer coding other than chunked")
			}
		default:
			if likeFraming(name) {
				return bad(likeFramingText)
			}
		}
	}
	inLine := host == 0 && namesHost(lines[0])
	switch {
	case host != 1 && !inLine:
		return bad("not exactly one Host header")
	case !inLine && !sameAuthority(lines[0], hostValue):
		return &Fault{http.StatusForbidden, "the request's target and its Host header name two hosts"}
	case length > 1 || coding > 1 || length+coding > 1:
		return bad("more than one length of the body")
	case coding == 1 && strings.HasSuffix(lines[0], "1.0"):
		return bad("a transfer coding in HTTP/1.0")
	}
	return nil
}

const likeFramingText = "a header field that some servers take for the length of the body"

var hyphens = strings.NewReplacer("_", "-", ".", "-")

// likeFraming says whether a name is that of a field which frames the body but for its
// hyphen, which some servers do not tell from other characters.
func likeFraming(name string) bool {
	for _, framing := range []string{"content-length", "transfer-encoding"} {
		if len(name) == len(framing) && strings.EqualFold(hyphens.Replace(name), framing) {
			return true
		}
	}
	return false
}

// namesHost says whether a request of HTTP/1.0, which has no Host header (RFC 1945),
// names the host in its line: to a proxy it does.
func namesHost(line string) bool {
	method, target, _ := strings.Cut(line, " ")
	return strings.HasSuffix(line, " HTTP/1.0") && (method == http.MethodConnect || strings.HasPrefix(strings.ToLower(target), "http://"))
}

// sameAuthority says whether a target in absolute form, which is what counts, and
// the Host header agree.
func sameAuthority(line, host string) bool {
	_, target, _ := strings.Cut(line, " ")
	target, _, _ = strings.Cut(target, " ")
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute || strings.HasPrefix(target, "/") {
		return true
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return strings.EqualFold(strings.TrimSuffix(rest, ":80"), strings.TrimSuffix(host, ":80"))
}

// checkLine checks "METHOD target HTTP/1.x".
func checkLine(l string) error {
	parts := strings.Split(l, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" {
		return bad("a malformed request line")
	}
	for _, c := range []byte(parts[1]) {
		if c <= ' ' || c >= 0x7f {
			return bad("a control or non-ASCII byte in the request's target")
		}
	}
	if parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return bad("not HTTP/1.1")
	}
	return nil
}

func isToken(s string) bool {
	for _, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// asFault is the fault in err's chain; nil when the connection itself failed.
func asFault(err error) *Fault {
	var f *Fault
	errors.As(err, &f)
	return f
}
