package credential

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestPrograms: a credential that is for some programs is put into requests of theirs only;
// a stand-in from another one is an attempt, and what has none goes without.
func TestPrograms(t *testing.T) {
	c := belljar.Credential{
		Name: "GH", From: belljar.CredentialSource{Env: "G"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.test", Port: 443}}, Methods: []string{"GET"}, Programs: []string{"/usr/bin/gh"},
	}
	const value = "ghp_R4ndomValueOfGitHubTokenAbc0x1y2z3"
	keys, made := makeKeys(t, []belljar.Credential{c}, "G="+value)
	answer := func(o belljar.Opened, err error) func(context.Context) (belljar.Opened, error) {
		asked := 0
		return func(context.Context) (belljar.Opened, error) {
			if asked++; asked > 1 {
				t.Error("it was asked twice")
			}
			return o, err
		}
	}
	for _, x := range []struct {
		name   string
		known  bool
		opened belljar.Opened
		err    error
		given  bool
		why    string
	}{
		{"its program", true, belljar.Opened{Program: "/usr/bin/gh"}, nil, true, ""},
		{"another", true, belljar.Opened{Program: "/usr/bin/curl"}, nil, false, "/usr/bin/curl opened this connection"},
		{"a copy", true, belljar.Opened{Program: "/tmp/usr/bin/gh", Refused: "no credential is for it"}, nil, false, "no credential is for it"},
		{"its program, preloaded", true, belljar.Opened{Program: "/usr/bin/gh", Refused: "LD_PRELOAD\x1b"}, nil, false, "LD_PRELOAD"},
		{"an error", true, belljar.Opened{Program: "/usr/bin/gh"}, errors.New("gone"), false, "could not be told"},
		{"nobody knows", false, belljar.Opened{}, nil, false, "is not known here"},
	} {
		for _, wait := range []bool{false, true} {
			for _, method := range []string{"GET", "POST"} {
				for _, standIn := range []bool{true, false} {
					r := request(method + " https://api.test/user")
					if standIn {
						r.Header["Authorization"] = []string{"Bearer " + made[0].StandIn}
					}
					r.Wait = wait
					if x.known {
						r.Opened = answer(x.opened, x.err)
					}
					v := keys.Outgoing(t.Context(), r)
					if wait {
						v.Put(t.Context(), r.Header)
					}
					sent := strings.Join(r.Header["Authorization"], ",")
					given := x.given && method == "GET"
					if (v.Refuse == "" && strings.Contains(sent, value)) != given {
						t.Errorf("%s, %s, stand-in %t: sent %q, %q", x.name, method, standIn, sent, v.Refuse)
					}
					if refused := standIn && !x.given; (v.Refuse != "") != refused || refused && (!strings.Contains(v.Refuse, x.why) || len(v.Leaks) != 1 || !v.Leaks[0].Refused) {
						t.Errorf("%s, %s, stand-in %t: %q, %+v", x.name, method, standIn, v.Refuse, v.Leaks)
					}
					if strings.ContainsRune(v.Refuse, '\x1b') {
						t.Errorf("%q", v.Refuse)
					}
				}
			}
		}
	}
}
