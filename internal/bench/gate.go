package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/gateway/certs"
	"github.com/belljar-dev/belljar/internal/startup"
)

// gate runs the gateway for the other proxies' kind of client: CONNECT by a connection of
// the host's, not by packets of a sandbox. Rules, keys and record are as in a run. It
// prints the address of its proxy and the stand-in of its key.
func gate(dir, passed, seen string) error {
	startup.DelayGC(true)
	pem, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	authority, err := certs.New()
	if err != nil {
		return err
	}
	rec, err := event.Create(event.CreateOptions{State: filepath.Join(dir, "state"), Start: belljar.StartEvent{ID: "bench-" + strconv.Itoa(os.Getpid())}})
	if err != nil {
		return err
	}
	network := &belljar.Network{}
	for _, text := range []string{passed, seen} {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return err
		}
		network.Rules = append(network.Rules, belljar.NetRule{Host: belljar.Localhost, Ports: []uint16{uint16(port)}})
	}
	creds, keys, err := credential.Make(context.Background(), []belljar.Credential{{
		Name: keyVariable, From: belljar.CredentialSource{Env: keyVariable}, Form: belljar.FormHeader, Header: "X-Api-Key",
		Hosts: []belljar.BoundHost{{Host: belljar.Localhost, Port: network.Rules[1].Ports[0]}},
	}}, credential.Host{Env: os.Environ()})
	if err != nil {
		return err
	}
	network.Credentials = creds
	g, err := gateway.New(gateway.Options{Network: network, Events: rec, Name: "bench", Authority: authority, Keys: keys, Roots: roots})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- g.Run(context.Background()) }()
	go func() { failed <- serveProxy(g, ln) }()
	fmt.Println(ln.Addr(), creds[0].StandIn)
	return <-failed
}

func serveProxy(g *gateway.Gateway, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go g.ServeProxy(c)
	}
}
