package httpproxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// respond writes a response and says whether the connection may go on.
func (s *session) respond(req *http.Request, resp *http.Response, closing bool) (bool, error) {
	if resp.StatusCode < 100 || resp.StatusCode > 999 { // over HTTP/2 net/http takes any number
		return false, errors.New("the server's status is none")
	}
	removeHop(resp.Header)
	resp.Header.Del("Content-Length")
	bodyless := req.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	chunked := false
	switch {
	case resp.ContentLength >= 0 && resp.StatusCode != http.StatusNoContent:
		if !bodyless || resp.ContentLength > 0 {
			resp.Header.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
		}
	case bodyless:
	case req.ProtoAtLeast(1, 1):
		chunked = true
		resp.Header.Set("Transfer-Encoding", "chunked")
	default:
		closing = true
	}
	if closing {
		resp.Header.Set("Connection", "close")
	} else if !req.ProtoAtLeast(1, 1) {
		resp.Header.Set("Connection", "keep-alive")
	}
	if chunked {
		announce(resp.Header, resp.Trailer)
	}
	if err := s.writeHead(resp); err != nil {
		return false, err
	}
	if !bodyless && resp.ContentLength < 0 {
		if err := s.bw.Flush(); err != nil { // what is streamed may begin much later
			return false, err
		}
	}
	if !bodyless {
		if err := s.copyBody(resp, chunked); err != nil {
			return false, err
		}
	}
	return !closing, s.bw.Flush()
}

func (s *session) writeHead(resp *http.Response) error {
	code := threeDigits(resp.StatusCode)
	reason := strings.TrimSpace(strings.TrimPrefix(resp.Status, code))
	for _, part := range []string{"HTTP/1.1 ", code, " ", oneLine(reason), "\r\n"} {
		_, _ = s.bw.WriteString(part)
	}
	if err := resp.Header.Write(s.bw); err != nil {
		return err
	}
	_, err := s.bw.WriteString("\r\n")
	return err
}

// threeDigits is a status as it is written; others are not passed on.
func threeDigits(code int) string { return strconv.Itoa(1000 + code)[1:] }

// copyBody passes on what arrives as it arrives. It starts with a small buffer and
// borrows a large one when the small one was filled.
func (s *session) copyBody(resp *http.Response, chunked bool) error {
	pool := &pieces
	if n := resp.ContentLength; n >= 0 && n < tinyPieces-pieceHead-pieceTail {
		pool = &tiny
	}
	small := pool.Get().(*[]byte)
	more, err := s.copyPieces(resp.Body, *small, chunked, true)
	pool.Put(small)
	if more {
		large, giveBack := s.borrow()
		_, err = s.copyPieces(resp.Body, large, chunked, false)
		giveBack()
	}
	if err != nil || !chunked {
		return err
	}
	_, _ = s.bw.WriteString("0\r\n")
	removeHop(resp.Trailer)
	_ = resp.Trailer.Write(s.bw)
	_, err = s.bw.WriteString("\r\n")
	return err
}

// borrow is a buffer for a body that is large.
func (s *session) borrow() (buf []byte, giveBack func()) {
	if l, ok := s.c.(Lender); ok {
		if buf, giveBack := l.Lend(); len(buf) > smallPieces {
			return buf, giveBack
		}
	}
	return make([]byte, smallPieces), func() {}
}

// Buffers of bodies that are short and say so, and of others.
var (
	tiny   = sync.Pool{New: func() any { return buffer(tinyPieces) }}
	pieces = sync.Pool{New: func() any { return buffer(smallPieces) }}
)

const (
	tinyPieces  = 4 << 10
	smallPieces = 32 << 10
	pieceHead   = 10 // room for a chunk's size
	pieceTail   = 2  // and for the end of its line
)

func buffer(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// copyPieces copies through buf to the end of the body, or, where grow is set, until
// buf was filled; then more is true.
func (s *session) copyPieces(body io.Reader, buf []byte, chunked, grow bool) (more bool, err error) {
	room := buf[pieceHead : len(buf)-pieceTail]
	for {
		n, err := body.Read(room)
		if n > 0 {
			if werr := s.writePiece(buf, n, chunked); werr != nil {
				return false, werr
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			_ = s.bw.Flush()
			return false, err
		}
		if grow && n == len(room) {
			return true, nil
		}
	}
}

// writePiece sends n bytes of a buffer, which begin behind the room for their frame,
// in one write.
func (s *session) writePiece(buf []byte, n int, chunked bool) error {
	begin, end := pieceHead, pieceHead+n
	if chunked {
		head := strconv.FormatInt(int64(n), 16) + "\r\n"
		begin -= copy(buf[pieceHead-len(head):], head)
		end += copy(buf[end:], "\r\n")
	}
	if end-begin > s.bw.Available() {
		if err := s.bw.Flush(); err != nil { // the header; the rest then goes out whole
			return err
		}
	}
	_, _ = s.bw.Write(buf[begin:end])
	return s.bw.Flush()
}

// switched carries a WebSocket that the server agreed to. A switch that nobody
// asked for is an error of the server.
func (s *session) switched(req *http.Request, resp *http.Response, asked bool) error {
	up, ok := resp.Body.(io.ReadWriteCloser)
	if !asked || !ok || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		return s.reply(req, s.h.Failed(req, errors.New("the server switched protocols without being asked")))
	}
	removeHop(resp.Header)
	resp.Header.Set("Connection", "Upgrade")
	resp.Header.Set("Upgrade", "websocket")
	if err := s.writeHead(resp); err != nil {
		return err
	}
	if err := s.bw.Flush(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, s.br)
		_ = up.Close() // ends the other direction too: a WebSocket is not half closed
	}()
	_, _ = io.Copy(s.c, up)
	_ = s.c.SetReadDeadline(time.Unix(1, 0))
	_ = up.Close()
	<-done
	return nil
}
