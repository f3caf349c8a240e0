package git

import (
	"context"
	"sync"
	"time"
)

// What the packs of a sandbox are inflated to, a second and at once: zeros take a
// thousandth of that on the way, and a processor's time here. Those of usual pushes
// come to less.
const (
	inflateRate  = 256 << 20
	inflateBurst = 256 << 20
)

// A pace bounds the work on all packs together over time. The zero value may be used, by
// several goroutines at once.
type pace struct {
	mu    sync.Mutex
	spent int64 // of the burst, at last
	last  time.Time
}

// take waits until n more bytes may be inflated, or ctx ends.
func (p *pace) take(ctx context.Context, n int) error {
	p.mu.Lock()
	now := time.Now()
	p.spent = max(0, p.spent-int64(now.Sub(p.last).Seconds()*inflateRate)) + int64(n)
	p.last = now
	over := p.spent - inflateBurst
	p.mu.Unlock()
	if over <= 0 {
		return nil
	}
	t := time.NewTimer(time.Duration(float64(over) / inflateRate * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
