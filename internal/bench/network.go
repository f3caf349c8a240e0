package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const (
	bulkSize = 200 << 20
	bulkMB   = float64(bulkSize) / 1e6
	piece    = 1 << 20
)

// curlDown downloads from a service of the host by curl, inside and outside. curl
// makes a system call for every few KiB that it writes, which is part of the figure.
func curlDown(b *bench) (float64, float64, string, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, "", "", err
	}
	defer ln.Close()
	chunk := make([]byte, piece)
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range bulkSize / piece {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	return b.bulk("curl -sf http://%s/", ln)
}

// moved moves bytes over a plain connection between the host's loopback and a program
// that reads and writes large pieces: this one, copied into the project.
func moved(direction string) func(*bench) (float64, float64, string, string, error) {
	return func(b *bench) (float64, float64, string, string, error) {
		if _, err := b.withClient(); err != nil {
			return 0, 0, "", "", err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, "", "", err
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go serveBulk(c)
			}
		}()
		return b.bulk("./client "+clientWord+" "+direction+" %s", ln)
	}
}

// bulk times a line with the listener's address in it, which moves bulkSize.
func (b *bench) bulk(line string, ln net.Listener) (float64, float64, string, string, error) {
	dir, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	addr := localhost(ln)
	ours, theirs, err := b.inside(dir, fmt.Sprintf(line, addr)+" || exit 1", "--allow", addr)
	if err != nil {
		return 0, 0, "", "", err
	}
	with := fmt.Sprintf("the same on the host; %.0f µs of the supervisor's processor a MB", float64(b.spent.Microseconds())/bulkMB)
	return 1000 * bulkMB / ours, 1000 * bulkMB / theirs, "MB/s", with, nil
}

// serveBulk sends or takes bulkSize, as the first line says.
func serveBulk(c net.Conn) {
	defer c.Close()
	br := bufio.NewReaderSize(c, piece)
	word, err := br.ReadString('\n')
	if err != nil {
		return
	}
	if word == "down\n" {
		_ = send(c)
		return
	}
	if n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{br}, make([]byte, piece)); n == bulkSize {
		_, _ = c.Write([]byte("k"))
	}
}

func send(w io.Writer) error {
	buf := make([]byte, piece)
	for range bulkSize / piece {
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// clientWord is the first argument of this program where it is the other end.
const clientWord = "client"

// client is the end inside.
func client(direction, addr string) error {
	if direction == "https" {
		return fetchAll("https://" + addr)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, direction+"\n"); err != nil {
		return err
	}
	want := int64(bulkSize)
	if direction == "up" {
		if err := send(c); err != nil {
			return err
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		want = 1 // the answer, once all has arrived
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, piece))
	if err == nil && n != want {
		err = errors.New("the connection ended early")
	}
	return err
}

// withClient is a project with this program in it, as ./client.
func (b *bench) withClient() (dir string, err error) {
	if dir, err = b.tree(1); err == nil {
		err = copySelf(filepath.Join(dir, "client"))
	}
	return dir, err
}

// localhost is the address of ln as rules name it.
func localhost(ln net.Listener) string {
	return strings.Replace(ln.Addr().String(), "127.0.0.1", "localhost", 1)
}

func copySelf(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	body, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(to, body, 0o755)
}
