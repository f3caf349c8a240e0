package belljar

import (
	"os"
	"path"
	"slices"
	"strings"
)

// CredentialForm says how a credential stands in a request.
type CredentialForm string

// The forms. Each is the whole value of one header.
const (
	FormHeader CredentialForm = "header" // Header: VALUE
	FormBearer CredentialForm = "bearer" // Authorization: Bearer VALUE
	FormBasic  CredentialForm = "basic"  // Authorization: Basic base64(User:VALUE), RFC 7617; git and registries use it
)

// A Credential is a secret that stays outside. Inside, a variable holds a worthless
// stand-in; the gateway puts the value into requests to the hosts that it is bound to.
// It is part of a plan and holds no secret itself. Requests to the hosts of one are
// seen ([Network.Sees]), and no other credential goes there.
type Credential struct {
	// Name is the variable that holds StandIn inside, but for a login, which is in a file:
	// [A-Za-z_][A-Za-z0-9_]*.
	Name string `json:"name"`
	// Withheld says that the value is put into no request: a project or a ceiling took
	// the credential away from Hosts, not what is refused there. Such a one has no
	// source, nothing inside holds its stand-in, and another credential of the same
	// Name may give the rest of what there was.
	Withheld bool `json:"withheld,omitempty"`
	// StandIn has the length and the shape of the value (prefix, alphabet), as far as it
	// was known when the plan was made, and is another one in each sandbox.
	StandIn string           `json:"stand_in"`
	From    CredentialSource `json:"from"`
	Hosts   []BoundHost      `json:"hosts"`             // never empty
	Methods []string         `json:"methods,omitempty"` // upper case; empty: any
	Paths   []string         `json:"paths,omitempty"`   // patterns of [MatchPath]; empty: any
	// Programs are the files whose processes are given the value, absolute and without links;
	// empty: any. Tiers that enforce [ReqPrograms] know who opened a connection ([Opener]).
	Programs []string       `json:"programs,omitempty"`
	Form     CredentialForm `json:"form"`
	Header   string         `json:"header"`         // canonical MIME form; Authorization for bearer and basic
	User     string         `json:"user,omitempty"` // of basic
	Origin   Origin         `json:"origin"`
}

// A CredentialSource says where the value is read, outside, by the supervisor.
// Exactly one field is set; none where the credential is withheld.
type CredentialSource struct {
	Env     string   `json:"env,omitempty"`     // a variable of the caller
	File    string   `json:"file,omitempty"`    // absolute; its content without the final newline
	Command []string `json:"command,omitempty"` // argv, run outside without a shell; its output without the final newline
	Login   string   `json:"login,omitempty"`   // one of [Logins]: the access token of that agent's own program
}

// Logins are the agents whose logins can be a source of credentials. Their stand-ins are
// in a file that the agent finds where it keeps its login, not in a variable.
func Logins() []string { return []string{"claude", "codex"} }

// Paths lists what the words of the command may name, as absolute paths whose links are
// not followed: whole words, what is behind an equals sign or an option's letter or in a
// line for a shell, with variables put in by getenv. What is relative is below /, where a
// command runs. It cannot know what a program makes of its words.
func (s CredentialSource) Paths(getenv func(string) string) (paths []string) {
	for _, w := range s.Command {
		for _, text := range []string{w, os.Expand(w, getenv)} {
			paths = append(paths, text)
			for i := range len(text) {
				if i == 0 || strings.IndexByte(wordEnds, text[i-1]) >= 0 {
					paths = append(paths, names(text[i:], i > 0 && text[i-1] == '=', getenv)...)
				}
			}
		}
	}
	for i, p := range paths {
		paths[i] = path.Clean("/" + p)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// names lists what may be named at the beginning of rest; value says that it is the value
// of an option or a variable.
func names(rest string, value bool, getenv func(string) string) (all []string) {
	word := rest
	if end := strings.IndexAny(word, wordEnds); end >= 0 {
		word = word[:end]
	}
	if home, ok := strings.CutPrefix(word, "~/"); ok {
		all = append(all, getenv("HOME")+"/"+home)
	}
	slash := strings.IndexByte(word, '/')
	if slash >= 0 || value {
		all = append(all, word)
	}
	if slash == 0 || slash > 0 && word[0] == '-' {
		all = append(all, word[slash:], rest[slash:]) // the latter with spaces in it
	}
	return all
}

// wordEnds are what names in the words of a command end at.
const wordEnds = " \t\n'\"`=:;,()<>|&{}[]@"

// A BoundHost is a host and port that a credential is bound to.
type BoundHost struct {
	Host string `json:"host"` // as in [NetRule]: a name, "*." and a name, or [Localhost]
	Port uint16 `json:"port"`
}

// Bound says whether c is bound to host and port: whether requests to it are judged by
// c. Which of them are given the value, [Credential.Takes] says.
func (c *Credential) Bound(host string, port uint16) bool {
	for _, b := range c.Hosts {
		rule := NetRule{Host: b.Host}
		if b.Port == port && rule.names(NetRequest{Host: host, Port: port}) {
			return true
		}
	}
	return false
}

// Takes says whether a request to a host that c is bound to is given the credential:
// whether method and canonical path are among those that it is bound to, and it is not
// withheld.
func (c *Credential) Takes(method, path string) bool {
	return !c.Withheld && matchRequest(c.Methods, c.Paths, method, path)
}
