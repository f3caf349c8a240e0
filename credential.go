package belljar

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
	Name string `json:"name"` // the variable that holds StandIn inside: [A-Za-z_][A-Za-z0-9_]*
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
	Form    CredentialForm   `json:"form"`
	Header  string           `json:"header"`         // canonical MIME form; Authorization for bearer and basic
	User    string           `json:"user,omitempty"` // of basic
	Origin  Origin           `json:"origin"`
}

// A CredentialSource says where the value is read, outside, by the supervisor.
// Exactly one field is set; none where the credential is withheld.
type CredentialSource struct {
	Env     string   `json:"env,omitempty"`     // a variable of the caller
	File    string   `json:"file,omitempty"`    // absolute; its content without the final newline
	Command []string `json:"command,omitempty"` // argv, run outside without a shell; its output without the final newline
}

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
