package gateway

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/llm"
)

func zstdOf(t *testing.T, text string, o ...zstd.EOption) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, append(o, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(z, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

// TestCompressedCalls: a compressed body is judged, and what was judged is what arrives.
func TestCompressedCalls(t *testing.T) {
	big := strings.Repeat(" ", llm.MaxBody)
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Models = []string{"claude-*"} }))
		n := w.modelSite(outer)
		other := strings.Replace(call, "claude-x", "other", 1)
		for _, c := range []struct {
			name, coding, body string
			status             int
			says               string
		}{
			{"zstd", "zstd", zstdOf(t, call), 200, ": " + call + "\n\n"},
			{"gzip", "GZIP", gzipOf(call), 200, ": " + call + "\n\n"},
			{"two frames", "zstd", zstdOf(t, call[:20]) + zstdOf(t, call[20:]), 200, ": " + call + "\n\n"},
			{"another model", "zstd", zstdOf(t, other), 403, "does not allow the model other"},
			{"another model, gzip", "gzip", gzipOf(other), 403, "does not allow the model other"},
			{"garbage behind", "zstd", zstdOf(t, call) + "xxxxxxxx", 400, "cannot be decompressed"},
			{"garbage behind, gzip", "gzip", gzipOf(call) + "xxxxxxxx", 400, "cannot be decompressed"},
			{"cut", "zstd", zstdOf(t, call)[:40], 400, "cannot be decompressed"},
			{"none", "zstd", call, 400, "cannot be decompressed"},
			{"none, gzip", "gzip", call, 400, "cannot be decompressed"},
			{"bomb", "zstd", zstdOf(t, call+big, zstd.WithWindowSize(2<<20)), 413, "32 MiB"},
			{"bomb, gzip", "gzip", gzipOf(call + big), 413, "32 MiB"},
			{"window", "zstd", zstdOf(t, call+big[:16<<20], zstd.WithWindowSize(8<<20), zstd.WithSingleSegment(false)), 400, "cannot be decompressed"},
			{"another coding", "br", call, 400, "encoded in a way"},
			{"two codings", "zstd, gzip", zstdOf(t, call), 400, "encoded in a way"},
			{"plain in name", "identity", call, 400, "encoded in a way"},
		} {
			before := n.Load()
			status, h, body := w.ask(inner, "POST", "https://api.example.com/v1/messages", c.body, "Content-Type", asJSON, "Content-Encoding", c.coding)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%s: %d %.300q", c.name, status, body)
			}
			if status == http.StatusOK && !strings.HasPrefix(h.Get("X-Got"), asJSON+" 81 ") {
				t.Errorf("%s: %q", c.name, h.Get("X-Got"))
			}
			if status != http.StatusOK && n.Load() != before {
				t.Errorf("%s arrived", c.name)
			}
		}
		w.noneHeld()
	})
}

// FuzzDecoded: whatever is said to be compressed, reading it comes to an end.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte(gzipOf(call)), true)
	var b bytes.Buffer
	z, _ := zstd.NewWriter(&b)
	_, _ = io.WriteString(z, call)
	_ = z.Close()
	f.Add(b.Bytes(), false)
	f.Fuzz(func(t *testing.T, body []byte, gz bool) {
		how := map[bool]string{true: "gzip", false: "zstd"}[gz]
		c := &llmCall{exchange: &exchange{g: &Gateway{}}}
		r := &http.Request{Header: http.Header{"Content-Encoding": {how}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
		held, err := c.read(r)
		if err == nil {
			if len(held.b) > llm.MaxBody {
				t.Fatalf("%d bytes", len(held.b))
			}
			held.release()
		}
		if n := c.g.bodies.Load(); n != 0 {
			t.Fatalf("%d bytes are held", n)
		}
	})
}
