package gateway

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"sync"

	"github.com/belljar-dev/belljar"
)

const (
	firstName = 16        // the first addresses belong to gateway, guest, localhost and later uses
	lastName  = 1<<17 - 2 // the last one of 198.18.0.0/15 but the broadcast address
	maxNames  = lastName - firstName + 1
)

var errFull = errors.New("all addresses that stand for names are given away")

// A table maps names to addresses of ours and back. An address stands for its
// name as long as the table lives.
type table struct {
	mu     sync.RWMutex
	size   int // how many names fit
	byName map[string]uint32
	names  []string
}

// newTable gives every name that a rule spells out its address, so that names
// made up under a wildcard cannot use them up.
func newTable(n *belljar.Network) (*table, error) {
	t := &table{size: maxNames, byName: make(map[string]uint32)}
	for _, r := range n.Rules {
		if r.Host == "" || r.Host == belljar.Localhost || strings.HasPrefix(r.Host, "*.") {
			continue
		}
		if _, err := t.add(r.Host); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// add returns the index of a canonical name, new or not.
func (t *table) add(name string) (uint32, error) {
	t.mu.RLock()
	i, ok := t.byName[name]
	t.mu.RUnlock()
	if ok {
		return i, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.byName[name]; ok {
		return i, nil
	}
	if len(t.names) >= t.size {
		return 0, errFull
	}
	i = uint32(len(t.names))
	t.names = append(t.names, name)
	t.byName[name] = i
	return i, nil
}

// addr4 and addr6 are the addresses of index i.
func addr4(i uint32) netip.Addr {
	b := belljar.NamesIPv4.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+firstName+i)
	return netip.AddrFrom4(b)
}

func addr6(i uint32) netip.Addr {
	b := belljar.NamesIPv6.Addr().As16()
	b[11] = 1 // apart from the gateway's, the guest's and localhost's
	binary.BigEndian.PutUint32(b[12:], i)
	return netip.AddrFrom16(b)
}

// name says for which name a stands.
func (t *table) name(a netip.Addr) (string, bool) {
	var i uint32
	switch {
	case belljar.NamesIPv4.Contains(a):
		b, base := a.As4(), belljar.NamesIPv4.Addr().As4()
		off := binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(base[:])
		if off < firstName {
			return "", false
		}
		i = off - firstName
	case belljar.NamesIPv6.Contains(a):
		b := a.As16()
		i = binary.BigEndian.Uint32(b[12:])
		if a != addr6(i) {
			return "", false
		}
	default:
		return "", false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(i) >= len(t.names) {
		return "", false
	}
	return t.names[i], true
}
