package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func authority(t testing.TB) *Authority {
	t.Helper()
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// roots is what a program inside trusts.
func roots(t testing.TB, a *Authority) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(a.PEM())) {
		t.Fatal("no certificate in PEM")
	}
	return p
}

func TestLeafIsAccepted(t *testing.T) {
	a := authority(t)
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example.com"
	for _, c := range []struct {
		name, ask string
		ok        bool
	}{
		{"api.example.com", "api.example.com", true},
		{"api.example.com", "www.example.com", false},
		{"*.example.com", "x.example.com", true},
		{"*.example.com", "x.y.example.com", false},
		{"localhost", "localhost", true},
		{long, long, true},
		{"my_host.example.com", "my_host.example.com", true},
		{"192.0.2.1", "192.0.2.1", true},
		{"2001:db8::1", "[2001:db8::1]", true},
	} {
		leaf, err := a.Leaf(c.name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Leaf.Verify(x509.VerifyOptions{DNSName: c.ask, Roots: roots(t, a), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if (err == nil) != c.ok {
			t.Errorf("leaf for %s, asked for %s: %v", c.name, c.ask, err)
		}
		if leaf.Leaf.IsCA || leaf.Leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
			t.Errorf("%s: the leaf may sign", c.name)
		}
		if age := time.Until(leaf.Leaf.NotAfter); age > leafAge {
			t.Errorf("%s: lives %s", c.name, age)
		}
	}
	for _, bad := range []string{"", "a b", "a\x00b", "ä.example"} {
		if _, err := a.Leaf(bad); err == nil {
			t.Errorf("a leaf for %q", bad)
		}
	}
	if _, err := authority(t).Leaf("api.example.com"); err != nil {
		t.Fatal(err)
	}
	other, _ := authority(t).Leaf("api.example.com")
	if _, err := other.Leaf.Verify(x509.VerifyOptions{DNSName: "api.example.com", Roots: roots(t, a)}); err == nil {
		t.Error("a leaf of another sandbox is accepted")
	}
}

func TestLeafIsMadeOnce(t *testing.T) {
	a := authority(t)
	var wg sync.WaitGroup
	serials := make([]string, 32)
	for i := range serials {
		wg.Go(func() {
			leaf, err := a.Leaf("api.example.com")
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = leaf.Leaf.SerialNumber.String()
		})
	}
	wg.Wait()
	for _, s := range serials {
		if s != serials[0] {
			t.Fatalf("two leaves for one name: %s, %s", s, serials[0])
		}
	}
}

// TestRateAndRenewal: many names are bounded in number and rate, and a leaf is made
// anew before it ends.
func TestRateAndRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(t)
		first, err := a.Leaf("first.example.com")
		if err != nil {
			t.Fatal(err)
		}
		made := 1
		for i := range 3 * LeavesBurst {
			if _, err := a.Leaf(fmt.Sprintf("n%d.example.com", i)); errors.Is(err, ErrRate) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			made++
		}
		if made != LeavesBurst {
			t.Errorf("%d leaves at once", made)
		}
		again, err := a.Leaf("first.example.com")
		if err != nil || again != first {
			t.Errorf("a leaf that exists: %v", err)
		}
		time.Sleep(leafAge - renewAt + time.Second)
		if again, err = a.Leaf("first.example.com"); err != nil || again == first {
			t.Errorf("a leaf near its end is not made anew: %v", err)
		}
		for i := range 3 * MaxLeaves {
			time.Sleep(time.Second / LeavesPerSecond * 2)
			if _, err := a.Leaf(fmt.Sprintf("m%d.example.com", i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.leaves) != MaxLeaves || a.recent.Len() != MaxLeaves {
			t.Errorf("%d leaves are kept, %d in order", len(a.leaves), a.recent.Len())
		}
	})
}

// TestOpenSSL: what checks most strictly accepts it too.
func TestOpenSSL(t *testing.T) {
	testenv.Need(t, "openssl")
	a := authority(t)
	dir := t.TempDir()
	ca, leaf := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "leaf.pem")
	if err := os.WriteFile(ca, []byte(a.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api.example.com", "192.0.2.1"} {
		c, err := a.Leaf(name)
		if err != nil {
			t.Fatal(err)
		}
		b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
		if err := os.WriteFile(leaf, b, 0o600); err != nil {
			t.Fatal(err)
		}
		by := "-verify_hostname"
		if net.ParseIP(name) != nil {
			by = "-verify_ip"
		}
		out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslserver", by, name, "-CAfile", ca, leaf).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	a := authority(b)
	now := time.Now()
	for b.Loop() {
		if _, err := a.mint("api.example.com", now); err != nil {
			b.Fatal(err)
		}
	}
}
