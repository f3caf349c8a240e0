// Package certs is the certificate authority of one sandbox. The gateway ends TLS
// with certificates of it where a rule needs to see requests; programs inside trust
// it because its certificate is in their trust stores.
//
// # Model
//
// An [Authority] is made in memory and dies with the process: neither its key nor
// that of its leaves is ever written, handed out or used for another sandbox. Leaves
// are made once per name, share one key, and are made anew before they expire.
//
// # Limitations
//
// Certificates are not revocable: they live for a day, and nobody outside of the
// sandbox trusts them. A program that pins the certificates of its server does not
// accept ours.
package certs

import (
	"container/list"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// MaxLeaves is how many leaves are kept; the one used least recently goes first.
	MaxLeaves = 1024
	// LeavesPerSecond bounds how many leaves are made over time.
	LeavesPerSecond = 50
	// LeavesBurst bounds how many are made at once.
	LeavesBurst = 256

	leafAge = 24 * time.Hour
	renewAt = 6 * time.Hour // before the end
	skew    = time.Hour     // how far a clock inside may be behind
	caAge   = 10 * 365 * 24 * time.Hour
	maxCN   = 64 // RFC 5280, ub-common-name
)

// ErrRate says that more leaves were asked for than are made in that time.
var ErrRate = errors.New("more names than certificates are made for in that time")

// An Authority makes the certificates of one sandbox. It is safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	pem  string
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // of all leaves

	mu     sync.Mutex
	leaves map[string]*list.Element // of *entry
	recent *list.List               // most recently used first
	tokens float64
	filled time.Time
}

// An entry is a leaf that is made or being made.
type entry struct {
	name    string
	ready   chan struct{}
	cert    *tls.Certificate // once ready
	err     error
	expires time.Time // guarded by Authority.mu; zero while it is made
}

// New makes an authority with new keys.
func New() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	// The subject is another one each time: stores find an issuer by its subject.
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"belljar"}, CommonName: "belljar sandbox " + hex.EncodeToString(serial.Bytes()[:8])},
		NotBefore:             now.Add(-leafAge),
		NotAfter:              now.Add(caAge),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	return &Authority{
		cert:   cert,
		pem:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:    key,
		leaf:   leaf,
		leaves: make(map[string]*list.Element),
		recent: list.New(),
		tokens: LeavesBurst,
		filled: now,
	}, nil
}

// PEM is the authority's certificate for the trust stores inside. It holds no key.
func (a *Authority) PEM() string { return a.pem }

// Leaf returns a certificate for a name, "*." and a name, or an address. It is made
// once for all who ask at the same time. The error is [ErrRate] when too many were
// made.
func (a *Authority) Leaf(name string) (*tls.Certificate, error) {
	now := time.Now()
	a.mu.Lock()
	if el := a.leaves[name]; el != nil {
		e := el.Value.(*entry)
		if e.expires.IsZero() || now.Before(e.expires.Add(-renewAt)) {
			a.recent.MoveToFront(el)
			a.mu.Unlock()
			<-e.ready
			return e.cert, e.err
		}
		a.drop(el)
	}
	if !a.take(now) {
		a.mu.Unlock()
		return nil, ErrRate
	}
	e := &entry{name: name, ready: make(chan struct{})}
	el := a.recent.PushFront(e)
	a.leaves[name] = el
	for a.recent.Len() > MaxLeaves {
		a.drop(a.recent.Back())
	}
	a.mu.Unlock()

	e.cert, e.err = a.mint(name, now)
	a.mu.Lock()
	e.expires = now.Add(leafAge)
	if e.err != nil && a.leaves[name] == el {
		a.drop(el)
	}
	a.mu.Unlock()
	close(e.ready)
	return e.cert, e.err
}

// drop forgets a leaf; who waits for it gets it still. a.mu is held.
func (a *Authority) drop(el *list.Element) {
	delete(a.leaves, el.Value.(*entry).name)
	a.recent.Remove(el)
}

// take says whether one more leaf may be made now. a.mu is held.
func (a *Authority) take(now time.Time) bool {
	a.tokens = min(LeavesBurst, a.tokens+max(0, now.Sub(a.filled).Seconds())*LeavesPerSecond)
	a.filled = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

// mint makes a leaf. No lock is held.
func (a *Authority) mint(name string, now time.Time) (*tls.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"belljar"}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(leafAge),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(name) <= maxCN {
		template.Subject.CommonName = name
	}
	switch ip := net.ParseIP(name); {
	case ip != nil:
		template.IPAddresses = []net.IP{ip}
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, fmt.Errorf("make a certificate for %q: not a name", name)
	default:
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: crypto.Signer(a.leaf), Leaf: leaf}, nil
}

// newSerial is a positive number of 128 random bits, at most 20 bytes in DER.
func newSerial() (*big.Int, error) {
	b := make([]byte, 17)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	b[0] = 1 // never zero, and of one length
	return new(big.Int).SetBytes(b), nil
}
