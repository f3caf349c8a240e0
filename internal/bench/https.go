package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	conns    = 32
	fetches  = 12_800 // by all connections together
	bodySize = 1000
)

// passedHTTPS counts small HTTPS requests per second over connections that stay
// open, encrypted from end to end: the gateway passes what it cannot read.
func passedHTTPS(b *bench) (float64, float64, string, string, error) {
	return b.https(nil, func(addr string) ([]string, error) { return []string{"--allow", addr}, nil })
}

// seenHTTPS counts the same where the gateway ends TLS and puts a key in, which the
// server checks.
func seenHTTPS(b *bench) (float64, float64, string, string, error) {
	const key = "sk-bench-0123456789abcdefghijklmnop"
	cert, root, err := selfSigned(b.dir)
	if err != nil {
		return 0, 0, "", "", err
	}
	for name, value := range map[string]string{keyVariable: key, "SSL_CERT_FILE": root} {
		if err := os.Setenv(name, value); err != nil {
			return 0, 0, "", "", err
		}
		defer os.Unsetenv(name)
	}
	return b.https(&tls.Config{Certificates: []tls.Certificate{cert}}, func(addr string) ([]string, error) {
		file := filepath.Join(b.dir, "seen.yaml")
		text := fmt.Sprintf("version: 1\nnetwork: {allow: [%q]}\ncredentials: [{name: %s, hosts: [%q], header: x-api-key}]\n", addr, keyVariable, addr)
		return []string{"--policy", file}, os.WriteFile(file, []byte(text), 0o600)
	})
}

// keyVariable holds the key that the client sends, where it sends one.
const keyVariable = "BENCH_KEY"

// https serves small answers, by cfg when it is not nil, to those who have the key of
// the environment, and counts how fast they come.
func (b *bench) https(cfg *tls.Config, flags func(addr string) ([]string, error)) (float64, float64, string, string, error) {
	dir, err := b.withClient()
	if err != nil {
		return 0, 0, "", "", err
	}
	body, key := strings.Repeat("b", bodySize), os.Getenv(keyVariable)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != key {
			http.Error(w, "another key", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	srv.TLS = cfg
	srv.StartTLS()
	defer srv.Close()
	addr := localhost(srv.Listener)
	with, err := flags(addr)
	if err != nil {
		return 0, 0, "", "", err
	}
	few := *b
	few.rounds = 7
	ours, theirs, err := few.inside(dir, "./client "+clientWord+" https "+addr+" || exit 1", with...)
	if err != nil {
		return 0, 0, "", "", err
	}
	told := fmt.Sprintf("the same on the host; %d µs of the supervisor's processor a request", (few.spent / fetches).Microseconds())
	return 1000 * fetches / ours, 1000 * fetches / theirs, "req/s", told, nil
}

// selfSigned makes a certificate for localhost, and a file in dir that vouches for it.
func selfSigned(dir string) (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{belljar.Localhost}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	root := filepath.Join(dir, "root.pem")
	err = os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root, err
}

// fetchAll is the client: every connection fetches one after the other.
func fetchAll(url string) error {
	errs := make(chan error, conns)
	var all sync.WaitGroup
	for range conns {
		all.Go(func() { errs <- fetchSome(url, fetches/conns) })
	}
	all.Wait()
	for range conns {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func fetchSome(url string, n int) error {
	c := &http.Client{Transport: &http.Transport{
		// The benchmark's own server, of this run: nobody vouches for it.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if key := os.Getenv(keyVariable); key != "" {
		req.Header.Set("X-Api-Key", key)
	}
	for range n {
		r, err := c.Do(req)
		if err != nil {
			return err
		}
		got, err := io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if err != nil {
			return err
		}
		if got != bodySize {
			return fmt.Errorf("%d bytes in place of %d", got, bodySize)
		}
	}
	return nil
}
