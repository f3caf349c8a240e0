package gateway

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestGitEarlyAnswer: a server that answers, or goes away, while a push is streamed that
// is refused at its end. Nobody else reads the push's body at the same time (-race), and
// everything is given back.
func TestGitEarlyAnswer(t *testing.T) {
	var n belljar.Network
	servers := map[string]http.HandlerFunc{
		"answers": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTeapot) },
		"aborts":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"leaves": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 200<<10)
			panic(http.ErrAbortHandler)
		},
		"late": func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 1<<20-1000)
			rw.WriteHeader(http.StatusTeapot)
		},
	}
	host := func(name string, h2 bool) string { return fmt.Sprintf("%s-%t.example.com", name, h2) }
	for name := range servers {
		for _, h2 := range []bool{false, true} {
			n.Rules = append(n.Rules, gitRule(host(name, h2), "/acme/widget", "refs/heads/*"))
		}
	}
	w := &gitWorld{secureWorld: newSecureWorld(t, n)}
	i := 50
	for name, h := range servers {
		for _, h2 := range []bool{false, true} {
			w.site(host(name, h2), fmt.Sprintf("93.184.216.%d:443", i), h2, h)
			i++
		}
	}
	push := earlyPush()
	for _, h2 := range []bool{false, true} {
		client := w.agent(h2)
		for name := range servers {
			for range 3 {
				body := struct{ io.Reader }{strings.NewReader(push)} // of no known length: streamed
				r, err := http.NewRequestWithContext(w.ctx, http.MethodPost, "https://"+host(name, h2)+"/acme/widget/git-receive-pack", body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-git-receive-pack-request")
				resp, err := client.Do(r)
				if err != nil {
					continue // the answer came before the client was ready for it
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK && !bytes.Contains(b, []byte("ng refs/heads/x belljar: not shown to be a fast-forward")) {
					t.Errorf("%s: %q", name, b)
				}
			}
		}
	}
	w.allGivenBack()
}

// earlyPush is an update with a pack of one large file, which shows nothing.
func earlyPush() string {
	const size = 1 << 20
	line := strings.Repeat("1", 40) + " " + strings.Repeat("2", 40) + " refs/heads/x\x00report-status"
	b := fmt.Appendf(nil, "%04x%s0000PACK\x00\x00\x00\x02", len(line)+4, line)
	b = binary.BigEndian.AppendUint32(b, 1)
	c := byte(3<<4 | size&15)
	for n := size >> 4; n > 0; n >>= 7 {
		b = append(b, c|0x80)
		c = byte(n & 0x7f)
	}
	z := bytes.NewBuffer(append(b, c))
	w, _ := zlib.NewWriterLevel(z, zlib.NoCompression)
	_, _ = w.Write(make([]byte, size))
	_ = w.Close()
	z.Write(make([]byte, 20))
	return z.String()
}
