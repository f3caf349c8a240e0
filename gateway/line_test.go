package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar/internal/agenthook"
)

// TestLines: the page takes lines and answers with verdicts; what is none is refused, and so
// are too many.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var judged []agenthook.Call
		g := &Gateway{ctx: t.Context()}
		h := &page{g: g}
		post := func(body string) (int, string) {
			r := httptest.NewRequest(http.MethodPost, "http://policy.belljar/judge", strings.NewReader(body))
			reply := h.Handle(r).Reply
			return reply.Status, reply.Body
		}
		const call = `{"agent":"claude","line":"ls","dir":"/w"}`
		if status, _ := post(call); status != http.StatusNotFound {
			t.Errorf("without rules: %d", status)
		}
		g.judgeLine = func(_ context.Context, c agenthook.Call) agenthook.Verdict {
			judged = append(judged, c)
			return agenthook.Verdict{Reason: "no"}
		}
		if status, body := post(call); status != http.StatusOK || strings.TrimSpace(body) != `{"allow":false,"reason":"no"}` {
			t.Errorf("%d %s", status, body)
		}
		for _, bad := range []string{"", "x", "{}", `{"agent":"x","line":"ls"}`, `{"agent":"claude","line":"ls","dir":"w"}`, `{"line":7}`,
			fmt.Sprintf(`{"agent":"claude","line":%q}`, strings.Repeat("x", agenthook.MaxLine+1))} {
			if status, body := post(bad); status != http.StatusBadRequest {
				t.Errorf("%.50s: %d %s", bad, status, body)
			}
		}
		if status, _ := post(strings.Repeat(" ", maxLineBody+1)); status != http.StatusRequestEntityTooLarge {
			t.Errorf("a huge body: %d", status)
		}
		unknown := httptest.NewRequest(http.MethodPost, "http://policy.belljar/judge", io.NopCloser(strings.NewReader(call)))
		unknown.ContentLength = -1
		if reply := h.Handle(unknown).Reply; reply.Status != http.StatusLengthRequired {
			t.Errorf("a body without a length: %d", reply.Status)
		}
		if len(judged) != 1 || judged[0] != (agenthook.Call{Agent: "claude", Line: "ls", Dir: "/w"}) {
			t.Errorf("judged %+v", judged)
		}
		time.Sleep(time.Minute)
		long := fmt.Sprintf(`{"agent":"claude","line":%q}`, strings.Repeat("x", 10*lineUnit))
		taken := 0
		for range lineBurst {
			if status, _ := post(long); status == http.StatusOK {
				taken++
			}
		}
		if taken < lineBurst/12 || taken > lineBurst/10 {
			t.Errorf("%d long lines at once", taken)
		}
		if status, body := post(call); status != http.StatusTooManyRequests || !strings.Contains(body, "lines a second") {
			t.Errorf("one too many: %d %s", status, body)
		}
		time.Sleep(time.Second)
		if status, _ := post(call); status != http.StatusOK {
			t.Errorf("a second later: %d", status)
		}
	})
}

func FuzzCall(f *testing.F) {
	f.Add([]byte(`{"agent":"claude","line":"ls","dir":"/w"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCall(b); err == nil && c.Check() != nil {
			t.Errorf("%+v", c)
		}
	})
}
