package policy

import (
	"maps"
	"slices"

	"github.com/belljar-dev/belljar"
)

// Shown is a merged policy as it may be shown: every value with its origin.
type Shown struct {
	Version    int               `json:"version"`
	Hash       string            `json:"hash"`
	Presets    []PresetUse       `json:"presets"`
	Tier       Value             `json:"tier"`
	Mode       Value             `json:"mode"`
	Read       []PathRule        `json:"read"`
	Write      []PathRule        `json:"write"`
	Hide       []belljar.Pattern `json:"hide"`
	Hold       []belljar.Pattern `json:"hold"`
	Pass       []belljar.Pattern `json:"pass"` // of the workspace
	Registries []Value           `json:"registries"`
	Network    belljar.Network   `json:"network"`
	GitSign    Value             `json:"git_sign"`
	OTLP       *OTLP             `json:"otlp,omitempty"`
	Records    int64             `json:"records,omitempty"`
	Notify     *Notify           `json:"notify,omitempty"`
	Limits     map[string]Value  `json:"limits"`
	Env        ShownEnv          `json:"env"`
	// Credentials are without values and stand-ins.
	Credentials []Credential     `json:"credentials"`
	Commands    belljar.Commands `json:"commands"`
	Setup       []Value          `json:"setup"` // its rules are network.setup
	Home        []HomeFile       `json:"home"`
	Sessions    []string         `json:"sessions"`
	Cuts        []Cut            `json:"cuts"`
}

// A Value is a word of a policy, in the form of the policy file.
type Value struct {
	Value  string         `json:"value"`
	Origin belljar.Origin `json:"origin"`
}

// ShownEnv is what a policy says of the environment.
type ShownEnv struct {
	Pass []Value `json:"pass"`
	// Tools and Certs pass under a condition, whatever a policy says.
	Tools []string         `json:"tools"`
	Certs []string         `json:"certs"`
	Set   map[string]Value `json:"set"`
}

// NotShown stands for a value of the command line, which may be a secret.
const NotShown = "(not shown)"

// Shown is the policy as data; no list of it is null.
func (p *Policy) Shown() Shown {
	s := p.state
	word := func(i item[string]) Value { return Value{i.value, i.origin()} }
	v := Shown{
		Version: 1, Hash: p.Hash(), Presets: p.Presets(), Tier: word(s.tier), Mode: Value{string(s.mode.value), s.mode.origin()},
		Read: p.Read(), Write: p.Write(), Hide: p.Hide(), Hold: p.Hold(), Pass: p.Pass(), Network: p.Network(), GitSign: word(s.sign), OTLP: p.OTLP(), Records: p.Records(), Notify: p.Notify(), Limits: map[string]Value{},
		Registries: []Value{}, Setup: []Value{}, Env: ShownEnv{Pass: []Value{}, Tools: ToolVariables(), Certs: CertVariables(), Set: map[string]Value{}},
		Credentials: p.Credentials(), Commands: p.Commands(), Home: p.Home(), Sessions: p.Sessions(), Cuts: slices.Concat([]Cut{}, p.cuts),
	}
	v.Network.Rules = slices.Concat([]belljar.NetRule{}, v.Network.Rules)
	for _, i := range s.registries {
		v.Registries = append(v.Registries, word(i))
	}
	for _, i := range s.setup {
		v.Setup = append(v.Setup, word(i))
	}
	for _, n := range limitNames() {
		l := s.limits[n]
		v.Limits[n] = Value{limitKindOf(n).format(l.value), l.origin()}
	}
	for _, i := range s.pass {
		v.Env.Pass = append(v.Env.Pass, word(i))
	}
	for n := range maps.Keys(s.set) {
		v.Env.Set[n] = s.shownSetting(n)
	}
	return v
}

// shownSetting is a variable that is set. A value of the command line may be a secret.
func (s *state) shownSetting(name string) Value {
	v := s.set[name]
	if v.src.layer == layerFlag && v.line == 0 {
		return Value{NotShown, v.origin()}
	}
	return Value{v.value, v.origin()}
}
