package userns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// proc makes a /proc of the given files.
func proc(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["self/uid_map"] += ""
	for name, content := range files {
		f := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	const sysctl = "sys/kernel/apparmor_restrict_unprivileged_userns"
	for _, c := range []struct {
		name   string
		files  map[string]string
		remedy string // a part of it; empty: nothing is wrong
	}{
		{"nothing", map[string]string{"sys/user/max_user_namespaces": "100\n", sysctl: "0\n"}, ""},
		{"none allowed", map[string]string{"sys/user/max_user_namespaces": "0\n"}, "sysctl -w user.max_user_namespaces="},
		{"no network namespaces", map[string]string{"sys/user/max_net_namespaces": "0\n"}, "user.max_net_namespaces="},
		{"Debian's switch", map[string]string{"sys/kernel/unprivileged_userns_clone": "0\n"}, "kernel.unprivileged_userns_clone=1"},
		{"AppArmor", map[string]string{sysctl: "1\n"}, "apparmor_parser -r"},
		{"AppArmor with our profile", map[string]string{sysctl: "1\n", "self/attr/current": "belljar (unconfined)\n"}, ""},
	} {
		p := check(proc(t, c.files))
		switch {
		case c.remedy == "" && p != nil:
			t.Errorf("%s: %+v", c.name, p)
		case c.remedy != "" && (p == nil || !strings.Contains(p.Remedy, c.remedy) || p.Reason == ""):
			t.Errorf("%s: %+v, want a remedy with %q", c.name, p, c.remedy)
		}
	}
	if p := check(t.TempDir()); p == nil {
		t.Error("a kernel without user namespaces passes")
	}
}

func TestNested(t *testing.T) {
	ours := "nameserver " + belljar.GatewayIPv4.String() + "\noptions edns0\n"
	for _, c := range []struct {
		name, max, resolver string
		want                bool
	}{
		{"a sandbox", "0\n", ours, true},
		{"a sandbox that says nothing of namespaces", "", ours, true},
		{"a host with such a resolver", "100\n", ours, false},
		{"a host without namespaces", "0\n", "nameserver 192.0.2.1\n", false},
	} {
		files := map[string]string{"resolv.conf": c.resolver}
		if c.max != "" {
			files["sys/user/max_user_namespaces"] = c.max
		}
		dir := proc(t, files)
		if got := nested(reader(dir), filepath.Join(dir, "resolv.conf")) != nil; got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
