package view

import "sync"

// readers is how many workers wait for a request at the same time. The kernel wakes
// the one that has waited longest: when all of them wait, each request finds another
// thread, whose processor sleeps and knows nothing of the last one. One is enough for
// requests that come one after the other; with the second, nobody has to be called
// before a request is answered.
const readers = 2

// A crew is the workers of one view, of which few wait for requests: who is not needed
// rests until nobody waits any more, so that a request never waits for the answer to
// another one while there is a worker left. Its methods are safe for concurrent use.
type crew struct {
	mu      sync.Mutex
	called  sync.Cond // on mu
	waiting int       // workers in read
	gone    bool      // the file system is unmounted
}

func newCrew() *crew {
	c := &crew{}
	c.called.L = &c.mu
	return c
}

// wait returns when the caller should read a request; false when there will be none.
func (c *crew) wait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= readers && !c.gone {
		c.called.Wait()
	}
	c.waiting++
	return !c.gone
}

// took says that the caller has read a request and is about to answer it.
func (c *crew) took() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
	if c.waiting == 0 {
		c.called.Signal()
	}
}

// end ends every wait.
func (c *crew) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.called.Broadcast()
}
