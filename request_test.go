package belljar

import "testing"

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/v1/messages", "/v1/messages", true},
		{"/v1/messages", "/v1/messages/", false},
		{"/v1/messages*", "/v1/messages", true},
		{"/v1/messages*", "/v1/messages_batch", true},
		{"/v1/messages*", "/v1/messages/count_tokens", false},
		{"/v1/messages**", "/v1/messages/count_tokens", true},
		{"/repos/acme/**", "/repos/acme/widget/issues", true},
		{"/repos/acme/**", "/repos/acme/", true},
		{"/repos/acme/**", "/repos/acme", false},
		{"/repos/acme/**", "/repos/acmeevil/x", false},
		{"/repos/*/pulls", "/repos/a/pulls", true},
		{"/repos/*/pulls", "/repos/a/b/pulls", false},
		{"/**/pulls", "/a/b/pulls", true},
		{"**", "", true},
		{"", "", true},
		{"", "/", false},
		{"/a**b**c", "/axxbyy/zc", true},
		{"/a**b**c", "/axxbyy/zd", false},
	} {
		if got := MatchPath(c.pattern, c.path); got != c.want {
			t.Errorf("MatchPath(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}

func TestDecideRequests(t *testing.T) {
	n := &Network{Rules: []NetRule{
		{Host: "api.example.com", Ports: []uint16{443}, Methods: []string{"GET"}, Paths: []string{"/repos/acme/**"}},
		{Host: "api.example.com", Ports: []uint16{443}, Methods: []string{"POST"}, Paths: []string{"/repos/acme/widget/pulls"}},
		{Host: "open.example.com", Ports: []uint16{443}, Methods: []string{"GET"}},
		{Host: "open.example.com", Ports: []uint16{443}},
	}}
	for _, c := range []struct {
		host, method, path string
		allow              bool
	}{
		{"api.example.com", "", "", true},
		{"api.example.com", "GET", "/repos/acme/widget", true},
		{"api.example.com", "HEAD", "/repos/acme/widget", true},
		{"api.example.com", "POST", "/repos/acme/widget/pulls", true},
		{"api.example.com", "POST", "/repos/acme/widget/issues", false},
		{"api.example.com", "GET", "/user", false},
		{"open.example.com", "DELETE", "/anything", true},
	} {
		d := n.Decide(NetRequest{Host: c.host, Port: 443, Method: c.method, Path: c.path})
		if d.Allow != c.allow {
			t.Errorf("%s %s%s: allowed %v", c.method, c.host, c.path, d.Allow)
		}
		if !d.Allow && (d.Reason == "" || d.Fix == "" || d.Nearest == nil) {
			t.Errorf("%s %s%s: not explained: %+v", c.method, c.host, c.path, d)
		}
	}
	if !n.Sees("api.example.com", 443) || n.Sees("open.example.com", 443) || n.Sees("api.example.com", 80) {
		t.Error("Sees: wrong connections are looked into")
	}
	n.Credentials = []Credential{{Name: "KEY", Hosts: []BoundHost{{"open.example.com", 443}}, Methods: []string{"POST"}, Paths: []string{"/v1/**"}}}
	if !n.Sees("open.example.com", 443) || n.Sees("open.example.com", 8443) {
		t.Error("Sees: a credential does not make its connections seen, or others too")
	}
	c := &n.Credentials[0]
	if !c.Takes("POST", "/v1/x") || c.Takes("GET", "/v1/x") || c.Takes("POST", "/v2") {
		t.Error("Takes: wrong requests")
	}
	c.Withheld = true
	if !n.Sees("open.example.com", 443) || !c.Bound("open.example.com", 443) || c.Takes("POST", "/v1/x") {
		t.Error("a withheld credential is given, or its host is no longer looked into")
	}
}
