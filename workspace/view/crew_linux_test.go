package view

import (
	"testing"
	"testing/synctest"
)

// TestCrew: of six workers two wait for requests; whoever leaves none waiting calls
// another, and all are let go in the end.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		request, answer := make(chan struct{}), make(chan struct{})
		left := 0
		for range 6 {
			go func() {
				for c.wait() {
					if _, ok := <-request; !ok {
						c.end()
						break
					}
					c.took()
					<-answer
				}
				c.mu.Lock()
				left++
				c.mu.Unlock()
			}()
		}
		waits := func(n int) {
			t.Helper()
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.waiting != n {
				t.Errorf("%d wait, not %d", c.waiting, n)
			}
		}
		waits(2)
		request <- struct{}{}
		waits(1) // enough: nobody is called
		request <- struct{}{}
		waits(1) // the third
		for range 3 {
			request <- struct{}{}
			waits(1)
		}
		request <- struct{}{}
		waits(0) // all six are busy
		for i := range 6 {
			answer <- struct{}{}
			waits(min(i+1, 2))
		}
		close(request)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if left != 6 {
			t.Errorf("%d of 6 were let go", left)
		}
	})
}
