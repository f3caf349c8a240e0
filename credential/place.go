package credential

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// defaultUser is the user of basic authentication where neither the policy nor the
// request names one: forges take any beside a token.
const defaultUser = "x-access-token"

// A sent credential is what the value of a header says, taken apart.
type sent struct {
	user, secret string
	userIsSecret bool // Basic with the token as the user, and a password that says nothing
}

// readHeader takes the value of a header apart in every way that it may be read: as it
// is, with a scheme, as user and password.
func readHeader(value string) []sent {
	all := []sent{{secret: value}}
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok {
		return all
	}
	rest = strings.TrimLeft(rest, " ")
	switch strings.ToLower(scheme) {
	case "bearer", "token":
		all = append(all, sent{secret: rest})
	case "basic":
		b, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			break
		}
		user, password, ok := strings.Cut(string(b), ":")
		if !ok {
			break
		}
		all = append(all, sent{user: user, secret: password})
		if password == "" || password == "x" || password == "x-oauth-basic" {
			all = append(all, sent{user: password, secret: user, userIsSecret: true})
		}
	}
	return all
}

// carries says whether a header's value is c's stand-in and nothing else, in whatever
// form.
func carries(c *belljar.Credential, value string) (sent, bool) {
	for _, s := range readHeader(value) {
		if s.secret == c.StandIn {
			return s, true
		}
	}
	return sent{}, false
}

// accepts says whether c's own header may carry its stand-in like that, to be replaced
// by the value in the form of the policy: any form in which clients send a token in
// Authorization, the plain one elsewhere. The user is the policy's where it names one,
// whatever the request says: forges' own URLs name others.
func accepts(c *belljar.Credential, value string, s sent) bool {
	if c.Header != "Authorization" {
		return value == c.StandIn
	}
	return c.User != "" || !likeToken(s.user)
}

// likeToken says whether the user of basic authentication may be a credential itself:
// some servers take one there.
func likeToken(user string) bool {
	known := func(sh shape) bool { return strings.HasPrefix(user, sh.prefix) }
	return len(user) > 64 || len(user) >= minRandom && (strings.HasPrefix(user, "eyJ") || slices.ContainsFunc(shapes(), known))
}

// header is the value of c's header with its real value in it.
func header(c *belljar.Credential, real string, s sent) string {
	switch c.Form {
	case belljar.FormBearer:
		return "Bearer " + real
	case belljar.FormBasic:
		user := c.User
		if user == "" {
			user = s.user
		}
		pair := user + ":" + real
		switch {
		case s.userIsSecret && c.User == "":
			pair = real + ":" + s.user
		case user == "":
			pair = defaultUser + ":" + real
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	}
	return real
}
