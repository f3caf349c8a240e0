package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// errName is what every refused spelling of a host wraps.
var errName = errors.New("not a host name")

// canonicalName is the one spelling of a host name that arrived from inside:
// lower case, A-labels, without one trailing dot. Names reach us encoded already,
// so anything beyond letters, digits, hyphen and underscore is refused instead of
// mapped; so is what some program would read as an address.
func canonicalName(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", fmt.Errorf("%w: wrong length", errName)
	}
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return "", fmt.Errorf("%w: byte %#02x", errName, c)
		}
	}
	s = string(b)
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("%w: label %q", errName, label)
		}
		last = label
	}
	if looksNumeric(last) {
		return "", fmt.Errorf("%w: it would be read as an address", errName)
	}
	return s, nil
}

// looksNumeric says whether a name ending in label may be taken for an IPv4
// address in one of its old spellings (decimal, octal, hexadecimal, short).
func looksNumeric(label string) bool {
	if label[0] < '0' || label[0] > '9' {
		return false
	}
	digits := strings.TrimPrefix(label, "0x")
	_, err := strconv.ParseUint(digits, 16, 64)
	if digits != label {
		return err == nil || digits == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// A target is where a program wants to go: a name or an address, and a port.
type target struct {
	host string     // canonical; empty when addr is meant
	addr netip.Addr // unmapped, without zone
	port uint16
}

func (t target) request() belljar.NetRequest {
	return belljar.NetRequest{Host: t.host, Addr: t.addr, Port: t.port}
}

// name is the host as people write it.
func (t target) name() string {
	if t.host != "" {
		return t.host
	}
	return t.addr.String()
}

// parseHost reads a host as it stands in a URL or a proxy request: a name, an
// IPv4 address in its one canonical spelling, or an IPv6 address in brackets
// (bare where bracketless is true).
func parseHost(s string, bracketless bool) (target, error) {
	lit := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		lit = s[1 : len(s)-1]
		if !strings.Contains(lit, ":") {
			return target{}, fmt.Errorf("%w: %q", errName, s)
		}
	} else if strings.Contains(s, ":") && !bracketless {
		return target{}, fmt.Errorf("%w: %q", errName, s)
	}
	if a, err := netip.ParseAddr(lit); err == nil {
		if a.Zone() != "" {
			return target{}, fmt.Errorf("%w: an address with a zone", errName)
		}
		return target{addr: a.Unmap()}, nil
	}
	n, err := canonicalName(s)
	return target{host: n}, err
}

// parseAuthority reads "host:port" with a canonical decimal port; def is the port
// of an authority without one, zero where it is required.
func parseAuthority(s string, def uint16) (target, error) {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if port == "" {
			return target{}, errors.New("empty port")
		}
	}
	t, err := parseHost(host, false)
	if err != nil {
		return t, err
	}
	t.port = def
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != port {
			return target{}, fmt.Errorf("port %q", port)
		}
		t.port = uint16(n)
	}
	if t.port == 0 {
		return target{}, errors.New("no port")
	}
	return t, nil
}
