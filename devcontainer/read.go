package devcontainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"

	"github.com/belljar-dev/belljar"
)

// Bounds on what a file may say.
const (
	maxDepth    = 64
	maxVars     = 500
	maxCommands = 100
	maxText     = 64 << 10 // of a value after substitution, in bytes
)

// Read reads the file name of the project root. The error names everything that is wrong:
// what is no JSON or has a wrong type ([belljar.KindUsage]), or what is refused
// ([belljar.KindRefused]).
func Read(root *os.Root, name string, o Options) (*Config, error) {
	b, err := load(root, name)
	if err != nil {
		return nil, err
	}
	c, err := Parse(b, o)
	if err != nil {
		var e *belljar.Error
		if errors.As(err, &e) {
			e.ID = filepath.Join(root.Name(), name)
		}
		return nil, err
	}
	c.File = name
	return c, nil
}

// Parse is [Read] for the bytes of a file.
func Parse(b []byte, o Options) (*Config, error) {
	fail := func(kind belljar.Kind, err error, hint string) (*Config, error) {
		return nil, &belljar.Error{Op: "read", ID: "devcontainer.json", Kind: kind, Err: err, Hint: hint}
	}
	if deep(b) {
		return fail(belljar.KindUsage, fmt.Errorf("it is nested more than %d deep", maxDepth), "")
	}
	std, err := hujson.Standardize(b)
	if err != nil {
		return fail(belljar.KindUsage, err, "it is JSON; comments and a last comma are allowed")
	}
	keys, err := object(std)
	if err != nil {
		return fail(belljar.KindUsage, err, "")
	}
	r := &reader{o: o, c: &Config{Env: map[string]string{}}}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		r.key(k, keys[k])
	}
	r.environment(keys)
	r.steps(keys)
	if len(r.refused) > 0 {
		return fail(belljar.KindRefused, errors.New("it asks for what a sandbox is never given: "+strings.Join(r.refused, "; ")), "take that out, or run without --devcontainer")
	}
	if len(r.faults) > 0 {
		return fail(belljar.KindUsage, errors.New(strings.Join(r.faults, "; ")), "see containers.dev for the format")
	}
	return r.c, nil
}

// deep says whether brackets nest deeper than the parser is asked to follow. Brackets in
// texts count too: nobody writes so many.
func deep(b []byte) bool {
	depth := 0
	for _, c := range b {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}

// object decodes an object whose names are all different.
func object(b []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("it is no object")
	}
	m := map[string]json.RawMessage{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := k.(string)
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

// A reader collects what a file says.
type reader struct {
	o       Options
	c       *Config
	refused []string
	faults  []string
	count   int // of commands
}

func (r *reader) fault(key, format string, args ...any) {
	r.faults = append(r.faults, key+": "+fmt.Sprintf(format, args...))
}

func (r *reader) note(format string, args ...any) {
	r.c.Notes = append(r.c.Notes, fmt.Sprintf(format, args...))
}

// key takes one key that is no variable and no command.
func (r *reader) key(name string, v json.RawMessage) {
	if why, ok := refused()[name]; ok {
		if s := string(v); s != "false" && s != "null" && s != "[]" {
			r.refused = append(r.refused, name+" ("+why+")")
		}
		return
	}
	switch name {
	case "name":
		r.decode(name, v, &r.c.Name)
	case "forwardPorts":
		r.ports(name, v)
	case "appPort":
		r.ports(name, v)
	case "hostRequirements":
		r.needs(v)
	case "mounts":
		r.mounts(v)
	case "containerEnv", "remoteEnv", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand":
	default:
		if why, ok := unheard()[name]; ok {
			r.note("%s is not honoured: %s", name, why)
		} else if !slices.Contains(idle(), name) {
			r.note("%q is not known", name)
		}
	}
}

// decode decodes v into out, or says that it has another type.
func (r *reader) decode(key string, v json.RawMessage, out any) bool {
	if err := json.Unmarshal(v, out); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			r.fault(key, "a %s stands where none may", t.Value)
		} else {
			r.fault(key, "%v", err)
		}
		return false
	}
	return true
}

// mounts refuses the host's control sockets by name; other mounts are not honoured.
func (r *reader) mounts(v json.RawMessage) {
	for _, s := range []string{"docker.sock", "podman.sock", "containerd.sock"} {
		if bytes.Contains(v, []byte(s)) {
			r.refused = append(r.refused, "mounts ("+s+" is a way to this host's root)")
			return
		}
	}
	r.note("mounts is not honoured: %s", unheard()["mounts"])
}

// ports reads a port or a list of ports; "db:5432" names another container.
func (r *reader) ports(key string, v json.RawMessage) {
	var list []any
	if bytes.HasPrefix(v, []byte("[")) {
		if !r.decode(key, v, &list) {
			return
		}
	} else {
		var one any
		if !r.decode(key, v, &one) {
			return
		}
		list = []any{one}
	}
	for _, e := range list {
		s := fmt.Sprint(e)
		if f, ok := e.(float64); ok {
			s = strconv.FormatFloat(f, 'f', -1, 64)
		}
		s = strings.TrimPrefix(s, "localhost:")
		n, err := strconv.ParseUint(s, 10, 16)
		switch {
		case err == nil && n > 0:
			r.c.Ports = append(r.c.Ports, uint16(n))
		case strings.Contains(s, ":"):
			r.note("%s %q is not honoured: there is no other container, and a port is published as itself", key, s)
		default:
			r.fault(key, "%q is no port", s)
		}
	}
	slices.Sort(r.c.Ports)
	r.c.Ports = slices.Compact(r.c.Ports)
}

// needs reads hostRequirements.
func (r *reader) needs(v json.RawMessage) {
	const key = "hostRequirements"
	var n struct {
		CPUs            int             `json:"cpus"`
		Memory, Storage string          `json:",omitempty"`
		GPU             json.RawMessage `json:"gpu"`
	}
	if !r.decode(key, v, &n) {
		return
	}
	if n.CPUs < 0 {
		r.fault(key, "cpus is negative")
	}
	r.c.Needs.CPUs = n.CPUs
	var err error
	if r.c.Needs.Memory, err = size(n.Memory); err != nil {
		r.fault(key, "memory: %v", err)
	}
	if r.c.Needs.Storage, err = size(n.Storage); err != nil {
		r.fault(key, "storage: %v", err)
	}
	if s := string(n.GPU); s != "" && s != "false" && s != "null" {
		r.note("hostRequirements.gpu is not honoured: no device of the host enters")
	}
}

// size is 4gb, 512mb: powers of 1024 by the specification.
func size(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	text := strings.ToLower(strings.TrimSpace(s))
	unit := int64(1)
	for i, u := range []string{"kb", "mb", "gb", "tb"} {
		if rest, ok := strings.CutSuffix(text, u); ok {
			text, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<60)/unit {
		return 0, fmt.Errorf("%q is no size such as 4gb", s)
	}
	return n * unit, nil
}
