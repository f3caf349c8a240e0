package h1

import "time"

// take takes a connection that waits for another request; nil: there is none.
func (c *Client) take(hostport string) *conn {
	for {
		c.mu.Lock()
		l := c.idle[hostport]
		if len(l) == 0 {
			c.mu.Unlock()
			return nil
		}
		pc := l[len(l)-1]
		c.remove(hostport, len(l)-1)
		c.mu.Unlock()
		if time.Since(pc.since) < c.o.Idle && pc.quiet() {
			pc.used = true
			return pc
		}
		pc.close()
	}
}

// remove takes the connection at i out of a host's. c.mu is held.
func (c *Client) remove(hostport string, i int) {
	l := c.idle[hostport]
	copy(l[i:], l[i+1:])
	l[len(l)-1] = nil
	c.kept--
	if l = l[:len(l)-1]; len(l) == 0 {
		delete(c.idle, hostport)
	} else {
		c.idle[hostport] = l
	}
}

// put keeps a connection for another request, or closes it, or one that has waited longer.
func (c *Client) put(pc *conn) {
	pc.since = time.Now()
	c.mu.Lock()
	if len(c.idle[pc.hostport]) >= c.o.IdlePerHost {
		c.mu.Unlock()
		pc.close()
		return
	}
	var old *conn
	if c.kept >= c.o.IdleAll {
		old = c.oldest()
		c.remove(old.hostport, 0)
	}
	c.idle[pc.hostport] = append(c.idle[pc.hostport], pc)
	c.kept++
	if c.sweep == nil {
		c.sweep = time.AfterFunc(c.o.Idle, c.closeOld)
	}
	c.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// oldest is the connection that has waited longest; nil: none waits. c.mu is held.
func (c *Client) oldest() *conn {
	var old *conn
	for _, l := range c.idle {
		if old == nil || l[0].since.Before(old.since) {
			old = l[0]
		}
	}
	return old
}

// closeOld closes the connections that have waited too long, and comes again while others wait.
func (c *Client) closeOld() {
	c.closeSince(time.Now().Add(-c.o.Idle))
}

// CloseIdle closes every connection that waits.
func (c *Client) CloseIdle() {
	c.closeSince(time.Now())
}

// closeSince closes what has waited since a moment or longer.
func (c *Client) closeSince(moment time.Time) {
	var old []*conn
	c.mu.Lock()
	next := c.oldest()
	for next != nil && !next.since.After(moment) {
		c.remove(next.hostport, 0)
		old = append(old, next)
		next = c.oldest()
	}
	switch {
	case c.sweep == nil:
	case next == nil:
		c.sweep.Stop()
		c.sweep = nil
	default:
		c.sweep.Reset(time.Until(next.since.Add(c.o.Idle)))
	}
	c.mu.Unlock()
	for _, pc := range old {
		pc.close()
	}
}
