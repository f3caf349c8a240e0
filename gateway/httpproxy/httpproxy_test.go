package httpproxy

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

const good = "POST /x?y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\nX: \xff\r\n\r\n"

func TestCheckHead(t *testing.T) {
	for _, ok := range []string{
		good,
		"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
		"CONNECT a.example:443 HTTP/1.0\r\n\r\n",
		"GET http://a.example/ HTTP/1.0\r\n\r\n",
		"GET http://a.example/ HTTP/1.1\r\nHost: A.example:80\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  Chunked \r\n\r\n",
		"CONNECT a.example:443 HTTP/1.1\r\nHost: other\r\n\r\n",
		"GET /?u=http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
	} {
		if err := CheckHead([]byte(ok)); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for name, in := range map[string]string{
		"no end":           "GET / HTTP/1.1\r\nHost: a\r\n",
		"no host":          "GET / HTTP/1.1\r\n\r\n",
		"two hosts":        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
		"fold":             "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
		"fold first":       "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
		"space in name":    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
		"CL+TE":            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"CL CL":            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"signed length":    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
		"list of lengths":  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
		"TE identity":      "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
		"TE list":          "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"no host in 1.0":   "GET / HTTP/1.0\r\n\r\n",
		"no host in 1.1":   "CONNECT a:443 HTTP/1.1\r\n\r\n",
		"TE in 1.0":        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"NUL":              "GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
		"bare CR":          "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
		"bare LF":          "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
		"two spaces":       "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"tab":              "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"no version":       "GET /\r\nHost: a\r\n\r\n",
		"version 2":        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"lower version":    "GET / http/1.1\r\nHost: a\r\n\r\n",
		"target not ASCII": "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
		"two authorities":  "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"many fields":      "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 300) + "\r\n",
	} {
		if err := CheckHead([]byte(in)); asFault(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPeekHead(t *testing.T) {
	br := bufio.NewReaderSize(strings.NewReader("\r\n\r\n"+good+"hi"), MaxHead)
	if err := skipEmptyLines(br); err != nil {
		t.Fatal(err)
	}
	head, err := peekHead(br)
	if err != nil || string(head) != good {
		t.Fatalf("%q, %v", head, err)
	}
	for in, status := range map[string]int{
		"GET / HTTP/1.1\n\n": 400,
		"\x16\x03\x01":       400,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("a", MaxHead): 431,
	} {
		_, err := peekHead(bufio.NewReaderSize(strings.NewReader(in), MaxHead))
		if f := asFault(err); f == nil || f.Status != status {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

// FuzzHead: what the strict reading lets through, net/http reads in the same way.
func FuzzHead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(in), MaxHead)
		head, err := peekHead(br)
		if err != nil || CheckHead(head) != nil {
			return
		}
		head = bytes.Clone(head)
		r, err := http.ReadRequest(br)
		if err != nil {
			return // stricter still
		}
		if left := len(in) - len(head); br.Buffered() != left {
			t.Fatalf("net/http took %d bytes for the head, not %d", len(in)-br.Buffered(), len(head))
		}
		if n := strings.Count(strings.ToLower(string(head)), "\r\nhost:"); n != 1 {
			t.Fatalf("%d hosts", n)
		}
		if r.ContentLength > 0 && len(r.TransferEncoding) > 0 {
			t.Fatal("two lengths")
		}
	})
}
