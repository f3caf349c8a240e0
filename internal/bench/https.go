package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

const (
	conns    = 32
	fetches  = 12_800 // by all connections together
	bodySize = 1000
)

// passedHTTPS counts small HTTPS requests per second over connections that stay
// open, encrypted from end to end: the gateway passes what it cannot read.
func passedHTTPS(b *bench) (float64, float64, string, string, error) {
	dir, err := b.withClient()
	if err != nil {
		return 0, 0, "", "", err
	}
	body := strings.Repeat("b", bodySize)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer srv.Close()
	addr := localhost(srv.Listener)
	few := *b
	few.rounds = 7
	ours, theirs, err := few.inside(dir, "./client "+clientWord+" https "+addr+" || exit 1", "--allow", addr)
	if err != nil {
		return 0, 0, "", "", err
	}
	return 1000 * fetches / ours, 1000 * fetches / theirs, "req/s", "the same on the host", nil
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
	for range n {
		r, err := c.Get(url)
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
