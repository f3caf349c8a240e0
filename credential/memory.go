package credential

import (
	"fmt"
	"io"
	"runtime"
	"sync"
)

// redacted is what is printed for a value.
const redacted = "[secret]"

// A secret is a value in memory that is in no core dump and is overwritten when it is
// no longer needed. It is empty after wipe; reading it then is harmless.
//
// The memory is behind a function, since fmt follows pointers, also those of unexported
// fields when the verb does not fit; it does not call functions.
type secret struct{ region func() *region }

// A region is memory outside the garbage collector's heap where the platform has it.
type region struct {
	mu     sync.RWMutex
	b      []byte
	mapped []byte // what is unmapped; nil where b is ordinary memory
}

// newSecret makes a secret of size zero bytes.
func newSecret(size int) secret {
	mapped := mapPages(max(size, 1))
	p := &region{b: mapped, mapped: mapped}
	if mapped == nil {
		p.b = make([]byte, size)
	}
	p.b = p.b[:size]
	if mapped != nil {
		runtime.AddCleanup(p, func(m []byte) { clear(m); unmapPages(m) }, mapped)
	}
	return secret{func() *region { return p }}
}

// secretOf copies b.
func secretOf(b []byte) secret {
	s := newSecret(len(b))
	copy(s.region().b, b)
	return s
}

// with calls f with the value, which f must not keep.
func (s secret) with(f func(value []byte)) {
	if s.region == nil {
		f(nil)
		return
	}
	p := s.region()
	p.mu.RLock()
	defer p.mu.RUnlock()
	f(p.b)
	runtime.KeepAlive(p)
}

// copy is the value as a string, for a header: the one copy that cannot be wiped.
func (s secret) copy() (v string) {
	s.with(func(b []byte) { v = string(b) })
	return v
}

// len is the length of the value.
func (s secret) len() (n int) {
	s.with(func(b []byte) { n = len(b) })
	return n
}

// cut makes the value n bytes long and overwrites what was behind.
func (s secret) cut(n int) {
	p := s.region()
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.b[n:])
	p.b = p.b[:n]
}

// is says whether both are the same memory.
func (s secret) is(o secret) bool {
	if s.region == nil || o.region == nil {
		return s.region == nil && o.region == nil
	}
	return s.region() == o.region()
}

// equal says whether both are the same value.
func (s secret) equal(o secret) (same bool) {
	s.with(func(a []byte) { o.with(func(b []byte) { same = string(a) == string(b) }) })
	return same
}

// wipe overwrites the value and makes it empty.
func (s secret) wipe() {
	if s.region == nil {
		return
	}
	p := s.region()
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.b)
	p.b = nil
}

// Format prints that there is a secret, whatever the verb.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is what JSON, YAML and slog print.
func (s secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
