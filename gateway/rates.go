package gateway

import (
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

// rates counts the requests of rules that bound them, one count for each rate of the policy.
// Rules that share a rate, such as one that was granted under another, share its count.
type rates struct {
	mu   sync.Mutex
	left map[*belljar.Rate]*bucket // guarded by mu
}

// take counts a request at now. It returns how long to wait where it is one too many, which
// is then not counted.
func (r *rates) take(rate *belljar.Rate, now time.Time) (wait time.Duration) {
	if rate == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.left[rate]
	if b == nil {
		if r.left == nil {
			r.left = make(map[*belljar.Rate]*bucket)
		}
		b = &bucket{rate: float64(rate.Requests) / rate.Per.Seconds(), burst: float64(rate.Requests)}
		r.left[rate] = b
	}
	if b.take(now) {
		return 0
	}
	return max(time.Duration((1-b.have)/b.rate*float64(time.Second)), time.Millisecond)
}
