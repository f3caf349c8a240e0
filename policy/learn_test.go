package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/google/go-cmp/cmp"
)

func TestLearn(t *testing.T) {
	seen := []Seen{
		{Host: "api.example.com", Port: 443, Method: "GET", Path: "/b"}, {Host: "api.example.com", Port: 443, Method: "GET", Path: "/a"},
		{Host: "api.example.com", Port: 443, Method: "HEAD", Path: "/a"}, {Host: "api.example.com", Port: 443, Method: "GET", Path: "/a"},
		{Host: "api.example.com", Port: 443, Method: "POST", Path: "/x"}, {Host: "api.example.com", Port: 443, Method: "PUT", Path: "/x"},
		{Host: "api.example.com", Port: 443, Method: "DELETE", Path: "/x", Refused: true},
		{Host: "docs.example.com", Port: 443}, {Host: "inner.example.com", Port: 8443, Private: true},
		{Host: "new.example.com", Refused: true}, {Host: "localhost", Port: 9000, Method: "GET", Path: "/"},
		{Addr: netip.MustParseAddr("10.20.0.5"), Port: 5432}, {Addr: netip.MustParseAddr("169.254.169.254"), Port: 80, Refused: true},
		{Host: "evil\n    - all.example.com", Port: 443}, {Host: "odd.example.com", Port: 443, Method: "GET", Path: "/a//b"},
	}
	const want = `version: 1
network:
  allow:
    - 10.20.0.5:5432
    - {host: "api.example.com", ports: [443], methods: ["GET"], paths: ["/a", "/b"]}
    - {host: "api.example.com", ports: [443], methods: ["POST", "PUT"], paths: ["/x"]}
    - docs.example.com
    - {host: "inner.example.com", ports: [8443], private: true}
    - {host: "localhost", ports: [9000], methods: ["GET"], paths: ["/"]}
    - odd.example.com  # a path that no rule can name alone
# refused; to be allowed, below network.allow:
#   - {host: "api.example.com", ports: [443], methods: ["DELETE"], paths: ["/x"]}
#   - new.example.com
`
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		r.Shuffle(len(seen), func(i, j int) { seen[i], seen[j] = seen[j], seen[i] })
		if d := cmp.Diff(want, string(Learn(seen, false))); d != "" {
			t.Fatal(d)
		}
	}
	n := newBench(t).user(string(Learn(seen, true))).must().Network()
	for _, s := range seen {
		if s.Method == "" || s.Host == "odd.example.com" {
			continue
		}
		if q := (belljar.NetRequest{Host: s.Host, Port: s.Port, Method: s.Method, Path: s.Path}); !n.Decide(q).Allow {
			t.Errorf("%+v is not allowed", s)
		}
	}
	for _, q := range []belljar.NetRequest{
		{Host: "api.example.com", Port: 443, Method: "POST", Path: "/a"}, {Host: "api.example.com", Port: 443, Method: "GET", Path: "/c"},
		{Host: "all.example.com", Port: 443}, {Host: "docs.example.com", Port: 80},
	} {
		if n.Decide(q).Allow {
			t.Errorf("%+v is allowed", q)
		}
	}
	var many []Seen
	for i := range 3000 {
		many = append(many, Seen{Host: "many.example.com", Port: 443, Method: "GET", Path: fmt.Sprintf("/%d", i)})
	}
	for _, some := range [][]Seen{many[:500], many, nil} {
		p := newBench(t).user(string(Learn(some, false))).must()
		if rules := p.Network().Rules; len(rules) > maxLearned || len(some) == 0 != (len(rules) == 0) ||
			slices.ContainsFunc(rules, func(r belljar.NetRule) bool { return r.Confined() != (len(some) == 500) }) {
			t.Errorf("%d seen: %d rules", len(some), len(rules))
		}
	}
}
