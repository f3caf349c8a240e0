package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/belljar-dev/belljar"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// profile maps and checks names as a browser does before a look-up. Hyphens are
// checked by us: the standard refuses "--" in third place, which real names carry.
func profile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.StrictDomainName(true), idna.BidiRule(),
		idna.CheckJoiners(true), idna.VerifyDNSLength(false), idna.CheckHyphens(false))
}

// Host returns the canonical form of a host name: lower-case A-labels without a
// trailing dot. It refuses control bytes, everything that is no name (addresses,
// also in decimal or hexadecimal disguise, ports, user parts, wildcards) and names
// that DNS cannot carry. Host(Host(s)) is Host(s).
func Host(s string) (string, error) {
	if s == "" {
		return "", errors.New("the host is empty")
	}
	if len(s) > 1024 {
		return "", errors.New("the host is longer than any name")
	}
	if ascii, ok := plainHost(s); ok {
		return finishHost(s, ascii)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar {
			return "", fmt.Errorf("host %q contains a control character, a space or invalid UTF-8", s)
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", fmt.Errorf("%q is an address, not a name", s)
	}
	if i := strings.IndexAny(s, "/:@?#[]%*\\_"); i >= 0 {
		return "", fmt.Errorf("host %q contains %q, which no host name can", s, s[i])
	}
	ascii, err := profile().ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a host name", s)
	}
	return finishHost(s, ascii)
}

// plainHost lowers a name of letters, digits, dots and hyphens without the cost of
// IDNA; it leaves names with A-labels to the careful way.
func plainHost(s string) (string, bool) {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '.' {
			return "", false
		}
	}
	s = strings.ToLower(s)
	return s, !strings.Contains(s, "xn--")
}

// finishHost checks the labels of a name that is ASCII already.
func finishHost(written, ascii string) (string, error) {
	ascii = strings.TrimSuffix(ascii, ".")
	if len(ascii) > 253 {
		return "", fmt.Errorf("host %q has more than 253 characters", written)
	}
	labels := strings.Split(ascii, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "", fmt.Errorf("host %q has an empty label", written)
		case len(l) > 63:
			return "", fmt.Errorf("host %q has a label of more than 63 characters", written)
		case l[0] == '-' || l[len(l)-1] == '-':
			return "", fmt.Errorf("host %q has a label that begins or ends with a hyphen", written)
		}
		for i := range len(l) {
			if c := l[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return "", fmt.Errorf("%q is not a host name", written)
			}
		}
	}
	if numeric(labels[len(labels)-1]) {
		return "", fmt.Errorf("%q is an address in disguise, not a name", written)
	}
	return ascii, nil
}

// numeric says whether some resolver would take a name with this last label for an
// IPv4 address: decimal, octal or hexadecimal.
func numeric(label string) bool {
	digits, set := label, "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		digits, set = rest, "0123456789abcdef"
	}
	return strings.Trim(digits, set) == ""
}

// rulePattern is the canonical host of a rule: a name, "*." and a name, or localhost.
func rulePattern(s string) (string, error) {
	base, wild := strings.CutPrefix(s, "*.")
	host, err := Host(base)
	if err != nil {
		if strings.Contains(base, "*") {
			return "", fmt.Errorf("%q: a wildcard stands only for everything in front of a name, as in *.example.com", s)
		}
		return "", err
	}
	switch {
	case host == belljar.Localhost && !wild:
		return host, nil
	case host == belljar.Localhost || strings.HasSuffix(host, ".localhost"):
		return "", fmt.Errorf("%q is the host's loopback, which only the name localhost reaches", s)
	case host == "belljar" || strings.HasSuffix(host, ".belljar"):
		return "", fmt.Errorf("%q is a name of the gateway itself", s)
	}
	if !wild {
		return host, nil
	}
	if len(host) > 251 {
		return "", fmt.Errorf("%q leaves no room for a label in front", s)
	}
	if suffix, _ := publicsuffix.PublicSuffix(host); suffix == host {
		return "", fmt.Errorf("%q stands for names of everybody: %s is a public suffix", s, host)
	}
	return "*." + host, nil
}
