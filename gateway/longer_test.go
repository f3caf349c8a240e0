package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// TestBoundedAnswersHaveNothingBeside: where a rule bounds the answer no interim response
// passes, and trailers count; where none does all of that passes.
func TestBoundedAnswersHaveNothingBeside(t *testing.T) {
	for _, outer := range []bool{false, true} {
		for _, inner := range []bool{false, true} {
			for _, c := range []struct {
				most    int64
				trailer int
				hints   bool
				whole   bool // the body, with its trailer
			}{{0, 2000, true, true}, {1000, 2000, false, false}, {1000, 900, false, true}, {10, 10, false, false}} {
				t.Run(fmt.Sprintf("outer h2=%v inner h2=%v most=%d trailer=%d", outer, inner, c.most, c.trailer), func(t *testing.T) {
					w := newSecureWorld(t, constrained(belljar.Constraint{Response: c.most, Rate: &belljar.Rate{Requests: 1000, Per: time.Second}}))
					w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, _ *http.Request) {
						rw.Header().Set("Trailer", "X-T")
						for range 3 {
							rw.Header().Set("X-Data", strings.Repeat("h", 20_000))
							rw.WriteHeader(http.StatusEarlyHints)
						}
						rw.Header().Del("X-Data")
						_, _ = io.WriteString(rw, "1234567890")
						_ = http.NewResponseController(rw).Flush() // its length is not known
						rw.Header().Set("X-T", strings.Repeat("t", c.trailer))
					})
					var hints atomic.Int32
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
						hints.Add(1)
						return nil
					}})
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/", nil)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := w.agent(inner).Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					body, err := io.ReadAll(resp.Body)
					if got := hints.Load(); (got == 3) != c.hints || got != 0 && !c.hints {
						t.Errorf("%d interim responses", got)
					}
					got := len(resp.Trailer.Get("X-T"))
					if whole := err == nil && string(body) == "1234567890" && got == c.trailer; whole != c.whole || !c.whole && (err == nil || got > 0) {
						t.Errorf("%q %v, a trailer of %d", body, err, got)
					}
				})
			}
		}
	}
}
