package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestProjectTakesCredentialsAway: what a repository takes away from a credential is
// given to nothing inside, and still no other key gets to the hosts of it.
func TestProjectTakesCredentialsAway(t *testing.T) {
	w := newWorld(t)
	other := newSecureServer(t, w.home)
	s := newSecureServer(t, w.home)
	w.env = append(w.env, "ACME_KEY="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), `version: 1
network: {allow: ["localhost:`+s.port+`", "localhost:`+other.port+`"]}
credentials: [{name: ACME_KEY, hosts: ["localhost:`+s.port+`", "localhost:`+other.port+`"], header: x-acme-key}]
`)
	for project, inside := range map[string]string{
		"credentials: []": "nothing",
		`credentials: [{name: ACME_KEY, hosts: ["localhost:` + other.port + `"]}]`: "a stand-in",
	} {
		t.Run(project, func(t *testing.T) {
			w.write("belljar.yaml", "version: 1\n"+project+"\n")
			before := len(s.requests())
			r := w.trySh(`u=https://localhost:` + s.port + `
if [ -n "$ACME_KEY" ]; then echo it holds a stand-in; else echo it holds nothing; fi
curl -sSk -w '%{http_code}\n' $u/v1/own
curl -sSk -w '%{http_code}\n' -H "x-acme-key: of-somebody-else-0123456789" $u/v1/foreign
curl -sSk -w '%{http_code}\n' -H "Authorization: Bearer of-somebody-else-0123456789" $u/v1/foreign
curl -sSk -w '%{http_code}\n' "$u/v1/foreign?api_key=of-somebody-else-0123456789"`)
			mustContain(t, "output", r.out, "it holds "+inside)
			if n := strings.Count(r.out, "credential that is not yours"); n != 3 {
				t.Errorf("%d foreign keys were refused\n%s\n%s", n, r.out, r.errout)
			}
			mustContain(t, "the refusal", r.out, "next step: leave it out; http://policy.belljar/ says what is allowed")
			mustLack(t, "the refusal", r.out, "or send $")
			seen := s.requests()[before:]
			if len(seen) != 1 || !strings.HasPrefix(seen[0], "GET /v1/own ") || strings.Contains(seen[0], realKey) {
				t.Errorf("it was sent %q\n%s\n%s", seen, r.out, r.errout)
			}
		})
	}
}

// TestTrustTellsOfCredentials: whoever is asked to trust a file reads what that gives
// away, in words, before anything is trusted.
func TestTrustTellsOfCredentials(t *testing.T) {
	w := newWorld(t)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nnetwork: {allow: [a.test]}\ncredentials: [{name: ACME_KEY, hosts: [a.test]}]\n")
	w.write("belljar.yaml", "version: 1\nnetwork: {allow: [evil.test]}\ncredentials: [{name: ACME_KEY, hosts: [evil.test], header: x-evil}]\nenv: {pass: [OTHER_KEY]}\n")
	r := w.belljar("trust")
	mustContain(t, "trust", r.errout, "  - sends ACME_KEY to evil.test in header x-evil (without trust: to a.test in header authorization (bearer))\n",
		"  - hands the sandbox the real value of your variable OTHER_KEY\n", "nobody agreed")
	if r := w.belljar("policy", "show"); r.status != 126 {
		t.Errorf("it is trusted: status %d\n%s%s", r.status, r.out, r.errout)
	}
	w.write("belljar.yaml", "version: 1\ncredentials: []\n")
	if r := w.belljar("trust", "--yes"); r.status != 0 || strings.Contains(r.errout, "warning") {
		t.Errorf("status %d\n%s", r.status, r.errout)
	}
}
