package policy

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// What no layer may allow is said with the reason; everything else may be.
func TestMay(t *testing.T) {
	b := newBench(t).ceiling("version: 1\nfiles: {read: [/srv]}\nnetwork: {allow: [\"*.example.com\", localhost:9000]}\nenv: {pass: [EDITOR]}\n")
	capped, free := b.must(), newBench(t).must()
	says := func(what string, err error, want string) {
		t.Helper()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	for _, c := range []struct{ host, free, capped string }{
		{"docs.example.com", "", ""},
		{"example.org:80", "", "ceiling"},
		{"localhost:9000", "", ""},
		{"localhost:9001", "", "ceiling"},
		{"10.0.0.1", "", "ceiling"},
		{"169.254.169.254:80", "metadata", "metadata"},
		{"[::ffff:127.0.0.1]:80", "loopback", "loopback"},
	} {
		q, err := ParseTarget(c.host)
		if err != nil {
			t.Fatal(err)
		}
		says(c.host, free.MayReach(q), c.free)
		says(c.host, capped.MayReach(q), c.capped)
	}
	for _, c := range []struct{ path, free, capped string }{
		{"/srv/x", "", ""}, {"/opt/x", "", "ceiling"}, {"/proc/1", "never shared", "never shared"}, {"/", "root", "root"},
	} {
		says(c.path, free.MayShare(c.path, false), c.free)
		says(c.path, capped.MayShare(c.path, false), c.capped)
	}
	for _, c := range []struct{ name, free, capped string }{
		{"EDITOR", "", ""}, {"PAGER", "", "ceiling"}, {"DOCKER_HOST", "never", "never"}, {"A=B", "not the name", "not the name"},
	} {
		says(c.name, free.MayPass(c.name), c.free)
		says(c.name, capped.MayPass(c.name), c.capped)
	}
}

func TestParseTarget(t *testing.T) {
	for _, s := range []string{"", "a b", "a:x", "a:0", "*.acme.dev", "127.1", "a..b", ":443"} {
		if q, err := ParseTarget(s); err == nil {
			t.Errorf("%q: %+v", s, q)
		}
	}
	if q, err := ParseTarget("DOCS.example.com.:8443"); err != nil || q != (belljar.NetRequest{Host: "docs.example.com", Port: 8443}) {
		t.Errorf("%+v %v", q, err)
	}
}

// A variable that leads to the host is refused in every layer that could pass it.
func TestNeverPassed(t *testing.T) {
	for _, n := range neverPassed() {
		b := newBench(t)
		b.opts.Flags.Env = []string{n}
		if _, err := b.user("version: 1\nenv: {pass: [" + n + "]}\n").load(); err == nil || strings.Count(err.Error(), "never passes") != 2 {
			t.Errorf("%s: %v", n, err)
		}
		b = newBench(t)
		b.opts.Flags.Env = []string{n + "=mine"}
		if v := b.must().EnvSet()[n]; v != "mine" {
			t.Errorf("%s is not set: %q", n, v)
		}
	}
}
