package credential

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func encoded(t *testing.T, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, 6)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEncodedAnswers: what was encoded against our asking is decoded, or refused.
func TestEncodedAnswers(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	text := strings.Repeat("some text ", 9000) + testKey + "!"
	want := strings.Repeat("some text ", 9000) + creds[0].StandIn + "!"
	for _, tt := range []struct {
		name, coding, body string
		status             int
		refused            bool
	}{
		{"identity", "identity", text, 200, false},
		{"gzip", "gzip", encoded(t, "gzip", text), 200, false},
		{"upper case", "GZIP", encoded(t, "gzip", text), 200, false},
		{"two members", "x-gzip", encoded(t, "gzip", text[:100]) + encoded(t, "gzip", text[100:]), 200, false},
		{"zlib", "deflate", encoded(t, "zlib", text), 200, false},
		{"bare deflate", "deflate", encoded(t, "flate", text), 200, false},
		{"brotli", "br", "…", 200, true},
		{"two codings", "gzip, gzip", "…", 200, true},
		{"a part", "gzip", "…", 206, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Content-Encoding": {tt.coding}, "Content-Length": {"1234"}}
			body, err := (&Verdict{keys: keys, bound: true, host: "h"}).Response(tt.status, h, io.NopCloser(strings.NewReader(tt.body)))
			if tt.refused {
				if err == nil {
					t.Error("it is passed on")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || string(got) != want {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if tt.coding != "identity" && (h.Get("Content-Encoding") != "" || h.Get("Content-Length") != "") {
				t.Errorf("headers %v", h)
			}
		})
	}
	body, err := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{"Content-Encoding": {"gzip"}}, io.NopCloser(strings.NewReader("no gzip")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); err == nil {
		t.Error("garbage was passed on")
	}
	for _, empty := range []struct {
		status int
		h      http.Header
	}{{304, http.Header{"Content-Encoding": {"br"}}}, {200, http.Header{"Content-Encoding": {"br"}, "Content-Length": {"0"}}}} {
		if _, err := (&Verdict{keys: keys, bound: true}).Response(empty.status, empty.h, io.NopCloser(strings.NewReader(""))); err != nil {
			t.Errorf("%v: %v", empty.h, err)
		}
	}
}

type duplex struct {
	io.Reader
	bytes.Buffer
}

func (d *duplex) Read(p []byte) (int, error) { return d.Reader.Read(p) }
func (d *duplex) Close() error               { return nil }

// TestUpgraded: a stream after 101 is searched on its way in, and stays a stream.
func TestUpgraded(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	d := &duplex{Reader: strings.NewReader("\x81\x7e" + testKey)}
	body, err := (&Verdict{keys: keys, bound: true}).Response(101, http.Header{}, d)
	if err != nil {
		t.Fatal(err)
	}
	w, ok := body.(io.Writer)
	if !ok {
		t.Fatal("nothing can be written")
	}
	_, _ = io.WriteString(w, "out")
	got, err := io.ReadAll(body)
	if err != nil || string(got) != "\x81\x7e"+creds[0].StandIn || d.Buffer.String() != "out" {
		t.Errorf("read %q, %v, wrote %q", got, err, d.Buffer.String())
	}
}

// TestFramesDoNotWait: what a WebSocket brings is there at the end of its frame, whatever
// it ends with; a value in several pieces of one frame is replaced.
func TestFramesDoNotWait(t *testing.T) {
	for _, value := range []string{testKey, "hunter2!/\\\"x"} {
		keys, _ := keysFor(t, value)
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			body, err := (&Verdict{keys: keys, bound: true}).Response(101, http.Header{}, &duplex{Reader: r})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			p := make([]byte, 100<<10)
			for _, payload := range []string{"l", `{"a":"b"}`, value[:7], "", strings.Repeat("x", 300), "sent " + value, strings.Repeat("y", 70000)} {
				frame := string(frameOf(payload))
				go func() {
					half := len(frame) - len(payload)/2
					_, _ = io.WriteString(w, frame[:half])
					_, _ = io.WriteString(w, frame[half:])
				}()
				got := ""
				for len(got) < len(frame) {
					n, err := body.Read(p)
					if err != nil {
						t.Fatal(err)
					}
					got += string(p[:n])
				}
				if strings.Contains(got, value) || !strings.Contains(payload, value) && got != frame {
					t.Errorf("%.40q was read as %.40q", frame, got)
				}
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// frameOf is one frame of a server.
func frameOf(payload string) []byte {
	n := len(payload)
	switch {
	case n < 126:
		return append([]byte{0x81, byte(n)}, payload...)
	case n < 1<<16:
		return append(binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(n)), payload...)
	}
	return append(binary.BigEndian.AppendUint64([]byte{0x81, 127}, uint64(n)), payload...)
}

// FuzzFrames: frames end where they end, however they arrive.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("ab"), uint16(300), byte(1), []byte("\x81\xff\xff"))
	f.Add([]byte(""), uint16(70), byte(2), []byte("\x81\x82mask"))
	f.Fuzz(func(t *testing.T, first []byte, size uint16, cut byte, junk []byte) {
		stream := append(frameOf(string(first)), frameOf(strings.Repeat("x", int(size)))...)
		masked := append([]byte{0x82, 0x80 | 3}, "MASKabc"...)
		stream = append(stream, masked...)
		var ws frames
		at := min(int(cut), len(stream)-1)
		if at > 0 && ws.ends(stream[:at]) != (at == len(frameOf(string(first))) || at == len(stream)-len(masked)) {
			t.Fatalf("at %d of %q", at, stream)
		}
		if !ws.ends(stream[at:]) {
			t.Fatalf("%q does not end", stream)
		}
		ws.ends(junk)
	})
}
