package credential

import (
	"context"
	"net/http"
	"time"

	"github.com/belljar-dev/belljar"
)

// A put is a value of a login in the header of a request.
type put struct {
	id   int
	sent sent
	hash string // HashToken of the value
}

// Renewable says whether another value may be had where the upstream does not accept the
// one that was put in: whether it is a login's.
func (v *Verdict) Renewable() bool { return len(v.puts) > 0 }

// Renew puts another value into h, the header of the request, after the upstream did not
// accept (401) the one that was put in; false says that there is none.
func (v *Verdict) Renew(ctx context.Context, h http.Header) bool {
	changed := false
	for i, p := range v.puts {
		e := v.keys.entries[p.id]
		value := v.keys.another(ctx, e, p.hash)
		if value == "" {
			continue
		}
		v.puts[i].hash = HashToken([]byte(value))
		h[e.plan.Header] = []string{header(&e.plan, value, p.sent)}
		changed = true
	}
	return changed
}

// remember keeps what Renew needs.
func (v *Verdict) remember(id int, c *belljar.Credential, value string, s sent) {
	if c.From.Login != "" {
		v.puts = append(v.puts, put{id, s, HashToken([]byte(value))})
	}
}

// another is a value of e that is not the one of that hash; empty where there is none.
func (k *Keys) another(ctx context.Context, e *entry, hash string) string {
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return ""
	}
	differs := func() string {
		value, _ := e.now()
		if v := value.copy(); v != "" && HashToken([]byte(v)) != hash {
			return v
		}
		return ""
	}
	if v := differs(); v != "" || k.isClosed() {
		return v
	}
	e.rejected.Store(false)
	e.src.rejected = true
	k.refresh(ctx, e, time.Now())
	return differs()
}

// expired says whether the token that is known is past its end.
func (e *entry) expired() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.expires.IsZero() && !time.Now().Before(e.expires)
}
