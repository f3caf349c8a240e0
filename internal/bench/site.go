package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A site is the server behind every proxy, at two ports: one takes any request, the
// other wants the key. It is a process of its own, as servers are: in the client's
// the scheduler would hand requests over without the kernel, to the direct way only.
type site struct {
	cmd         *exec.Cmd
	open, keyed string // ports
	root, pair  string // files: its certificate, and a certificate with its key, as Squid takes it
}

// serverWord is the first argument of this program where it is the server.
const serverWord = "server"

func newSite(dir string) (*site, error) {
	cert, root, err := selfSigned(dir)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	s := &site{root: root, pair: filepath.Join(dir, "pair.pem")}
	if err := os.WriteFile(s.pair, both, 0o644); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(self, serverWord, s.pair)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.close()
		return nil, fmt.Errorf("the server says nothing: %w", err)
	}
	s.open, s.keyed, _ = strings.Cut(strings.TrimSpace(line), " ")
	return s, nil
}

func (s *site) port(seen bool) string {
	if seen {
		return s.keyed
	}
	return s.open
}

// ends is the processor time of the client, which is this process, and the server.
func (s *site) ends() time.Duration { return spent(os.Getpid()) + spent(s.cmd.Process.Pid) }

func (s *site) close() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// server serves until it is ended, and prints its ports.
func server(pair string) error {
	cert, err := tls.LoadX509KeyPair(pair, pair)
	if err != nil {
		return err
	}
	small, piece := strings.Repeat("b", bodySize), make([]byte, 64<<10)
	serve := func(key string) string {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Api-Key") != key && key != "" {
				http.Error(w, "another key", http.StatusForbidden)
				return
			}
			if r.URL.Path != "/bulk" {
				_, _ = io.WriteString(w, small)
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(bulkBody))
			for range bulkBody / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}))
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		srv.StartTLS()
		addr := srv.Listener.Addr().String()
		return addr[strings.LastIndexByte(addr, ':')+1:]
	}
	fmt.Println(serve(""), serve(benchKey))
	select {}
}
