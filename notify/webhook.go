package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/belljar-dev/belljar/internal/headers"
)

// How often a note is posted, and how long a request may take.
const (
	attempts    = 4
	requestTime = 10 * time.Second
	maxAfter    = 30 * time.Second
	maxAnswer   = 64 << 10
)

// pauses are between attempts.
var pauses = [attempts - 1]time.Duration{time.Second, 4 * time.Second, 10 * time.Second}

// A hook posts notes to a webhook.
type hook struct {
	url     string
	headers *headers.File
	client  *http.Client
}

func newHook(w Webhook) *hook {
	return &hook{url: w.URL, headers: headers.Open(w.Headers), client: &http.Client{
		Timeout:       requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// tell posts n until it is taken, refused, or nobody answered so often.
func (h *hook) tell(ctx context.Context, n Note) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		after, err := h.post(ctx, body)
		if err == nil || after < 0 || i == attempts-1 {
			return err
		}
		select {
		case <-time.After(max(after, pauses[i])):
		case <-ctx.Done():
			return err
		}
	}
}

// post posts body once. With an error comes the pause that was asked for; below 0: it is no
// use to try again. Errors do not have the address, which may be a secret.
func (h *hook) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	given, err := h.headers.Read()
	if err != nil {
		return -1, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return -1, errors.New("its address cannot be used")
	}
	q.Header.Set("User-Agent", "belljar")
	for name, value := range given {
		q.Header.Set(name, value)
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := h.client.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return 0, fmt.Errorf("nobody answers: %w", err)
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, maxAnswer)) // so that the connection can be used again
	switch {
	case a.StatusCode/100 == 2:
		return 0, nil
	case a.StatusCode/100 == 3:
		return -1, fmt.Errorf("it answers %d and leads elsewhere, which is not followed", a.StatusCode)
	case a.StatusCode/100 == 5, a.StatusCode == http.StatusTooManyRequests, a.StatusCode == http.StatusRequestTimeout, a.StatusCode == http.StatusTooEarly:
		s, _ := strconv.ParseUint(a.Header.Get("Retry-After"), 10, 16) // a date is not waited for
		return min(time.Duration(s)*time.Second, maxAfter), fmt.Errorf("it answers %d", a.StatusCode)
	}
	return -1, fmt.Errorf("it answers %d", a.StatusCode)
}
