package credential

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestReader: what the process that reads answers is what this one would have read.
func TestReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("first-value-1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serveReads(theirs)
		theirs.Close()
		ended <- err
	}()
	r, err := newReader(ours, readerSetup{
		Sources: []belljar.CredentialSource{{File: file}, {Command: []string{"echo", "printed-value-5678"}}, {File: file + "-missing"}},
		Host:    Host{Env: os.Environ()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source     int
		want, fail string
	}{{0, "first-value-1234", ""}, {1, "printed-value-5678", ""}, {2, "", "does not exist"}, {0, "first-value-1234", ""}} {
		v, err := r.read(c.source)
		if got := v.copy(); got != c.want || (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("source %d: %q, %v", c.source, got, err)
		}
	}
	src := source{from: belljar.CredentialSource{File: file}, host: func() *Host { return &Host{} }, elsewhere: func() (secret, error) { return r.read(0) }}
	for _, value := range []string{"first-value-1234", "second-value-4321x"} {
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		changed, err := src.look(t.Context(), src.looked)
		if got := src.value.copy(); err != nil || !changed || got != value {
			t.Errorf("%q: %q, %v, %v", value, got, changed, err)
		}
	}
	if _, err := r.read(7); !errors.Is(err, errReader) {
		t.Errorf("a source that was not told: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the process goes on after a question that nobody may ask")
	}
	if _, err := r.read(0); !errors.Is(err, errReader) {
		t.Errorf("after its end: %v", err)
	}
}
