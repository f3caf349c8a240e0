package confine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestEnforcement: what a kernel lacks is told, with the version that has it.
func TestEnforcement(t *testing.T) {
	for abi, want := range map[int]belljar.Level{
		0: belljar.Approximate, 1: belljar.Approximate, 2: belljar.Approximate, 3: belljar.Approximate, 5: belljar.Approximate,
		6: belljar.Enforced, 7: belljar.Enforced, 12: belljar.Enforced,
	} {
		e := enforcement(abi)
		if e.Level != want || e.By == "" || (e.Gap == "") != (want == belljar.Enforced) || (e.Remedy == "") != (want == belljar.Enforced) {
			t.Errorf("ABI %d: %+v", abi, e)
		}
	}
}

// TestSystem: the resolver's file is replaced where it really is.
func TestSystem(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "run", "resolv.conf")
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "resolv.conf")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		return map[string]string{"SSL_CERT_FILE": "/certs/a.pem", "SSL_CERT_DIR": "relative:/certs/b"}[name]
	}
	got := system(env, link)
	for _, want := range []string{"/etc", filepath.Dir(real), "/certs/a.pem", "/certs/b"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
	if slices.Contains(got, "relative") || slices.Contains(got, "/") {
		t.Errorf("too much: %q", got)
	}
}
