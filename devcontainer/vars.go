package devcontainer

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var variable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{[A-Za-z]+(:[^${}]*)?\}`) })

var variableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// environment reads containerEnv, then remoteEnv, which is set over it.
func (r *reader) environment(keys map[string]json.RawMessage) {
	for _, key := range []string{"containerEnv", "remoteEnv"} {
		v := keys[key]
		if len(v) == 0 {
			continue
		}
		var m map[string]*string
		if !r.decode(key, v, &m) {
			continue
		}
		if len(m) > maxVars {
			r.fault(key, "it sets more than %d variables", maxVars)
			continue
		}
		set := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			switch {
			case !variableName().MatchString(name):
				r.fault(key, "%q is no name of a variable", name)
			case m[name] == nil:
				r.note("%s.%s is not unset: belljar sets only what the policy says", key, name)
			default:
				if value := r.substitute(key+"."+name, *m[name]); strings.Contains(value, "\x00") {
					r.fault(key+"."+name, "a value has no NUL")
				} else {
					set[name] = value
				}
			}
		}
		maps.Copy(r.c.Env, set) // afterwards: no value sees another of the same mapping
	}
}

// substitute puts values for ${…}. What has none stays empty, and is noted.
func (r *reader) substitute(at, s string) string {
	size := len(s)
	out := variable().ReplaceAllStringFunc(s, func(m string) string {
		if size > maxText {
			return m // too much already: not for memory to hold
		}
		v := r.value(at, m)
		size += len(v)
		return v
	})
	if max(size, len(out)) > maxText {
		r.fault(at, "it has more than 64 KiB")
		return ""
	}
	return out
}

// value is what stands for m, which is ${…}.
func (r *reader) value(at, m string) string {
	name, arg, _ := strings.Cut(m[2:len(m)-1], ":")
	switch name {
	case "localWorkspaceFolder", "containerWorkspaceFolder":
		return r.o.Workspace
	case "localWorkspaceFolderBasename", "containerWorkspaceFolderBasename":
		return filepath.Base(r.o.Workspace)
	case "localEnv", "env":
		return r.lookup(at, m, arg, r.o.Env, "the sandbox is not given that variable of yours")
	case "containerEnv":
		return r.lookup(at, m, arg, r.inside, "it is not set inside")
	}
	r.note("%s: %s has no value here", at, m)
	return ""
}

// inside is a variable as it is inside: of the file, else without it.
func (r *reader) inside(name string) (string, bool) {
	if v, ok := r.c.Env[name]; ok {
		return v, true
	}
	if r.o.Inside == nil {
		return "", false
	}
	return r.o.Inside(name)
}

// lookup is the value of NAME or NAME:default.
func (r *reader) lookup(at, m, arg string, find func(string) (string, bool), why string) string {
	name, or, hasDefault := strings.Cut(arg, ":")
	if find != nil {
		if v, ok := find(name); ok {
			return v
		}
	}
	if !hasDefault {
		r.note("%s: %s is empty: %s", at, m, why)
	}
	return or
}
