package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// A preset's login is used where the host has one and the agent has no key; its hosts are
// there with it only, and so is what answers for its tokens.
func TestLogins(t *testing.T) {
	has := []Login{{
		Name: "codex", Variables: []string{"CODEX_API_KEY"}, Endpoints: []LoginEndpoint{{"auth.openai.com", "/oauth/token"}},
	}}
	for name, c := range map[string]struct {
		env    []string
		logins []Login
		flags  policy.Flags
		used   bool
	}{
		"there":        {nil, has, policy.Flags{}, true},
		"none":         {nil, nil, policy.Flags{}, false},
		"with a key":   {[]string{"CODEX_API_KEY=k"}, has, policy.Flags{}, false},
		"a key is set": {nil, has, policy.Flags{Env: []string{"CODEX_API_KEY=k"}}, false},
		"other key":    {[]string{"OTHER=k"}, has, policy.Flags{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			pol, err := policy.Load(policy.LoadOptions{Command: "codex", Flags: c.flags})
			if err != nil {
				t.Fatal(err)
			}
			creds, _ := Credentials(pol, c.env, c.logins)
			used := slices.ContainsFunc(creds, func(x belljar.Credential) bool { return x.From.Login == "codex" })
			if used != c.used {
				t.Fatalf("%+v", creds)
			}
			for i := range creds {
				creds[i].StandIn = "stand-in-of-" + creds[i].Name
			}
			f := loadFacts(t, "testdata/facts.json")
			f.Credentials, f.Logins, f.CA = creds, c.logins, "pem"
			p, err := Make(pol, f, fullCaps(), MakeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "CODEX_LOGIN=") }) {
				t.Error("a variable holds it")
			}
			for _, q := range []struct {
				host, method, path string
				ok                 bool
			}{
				{"chatgpt.com", "POST", "/backend-api/codex/responses", c.used},
				{"chatgpt.com", "GET", "/backend-api/accounts", false},
				{"auth.openai.com", "POST", "/oauth/token", c.used},
				{"auth.openai.com", "GET", "/oauth/authorize", false},
			} {
				d := p.Network.Decide(belljar.NetRequest{Host: q.host, Port: 443, Method: q.method, Path: q.path})
				if d.Allow != q.ok {
					t.Errorf("%s %s%s: %+v", q.method, q.host, q.path, d)
				}
			}
		})
	}
}
