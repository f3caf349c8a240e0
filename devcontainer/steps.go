package devcontainer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// steps reads the lifecycle commands in their order.
func (r *reader) steps(keys map[string]json.RawMessage) {
	for _, key := range []string{"onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand"} {
		v := keys[key]
		if len(v) == 0 || string(v) == "null" {
			continue
		}
		each := key == "postStartCommand"
		switch v[0] {
		case '{':
			m, err := object(v)
			if err != nil {
				r.fault(key, "%v", err)
				continue
			}
			// The specification runs them side by side; one after the other they mean the same.
			for _, name := range slices.Sorted(maps.Keys(m)) {
				r.step(key+"."+name, key, each, m[name])
			}
		default:
			r.step(key, key, each, v)
		}
	}
}

// step reads one command: a line for the shell, or words.
func (r *reader) step(at, key string, each bool, v json.RawMessage) {
	var argv []string
	switch v[0] {
	case '[':
		if !r.decode(at, v, &argv) {
			return
		}
		if len(argv) == 0 {
			return
		}
	default:
		var line string
		if !r.decode(at, v, &line) {
			return
		}
		if strings.TrimSpace(line) == "" {
			return
		}
		argv = []string{"/bin/sh", "-c", line}
	}
	for i, w := range argv {
		argv[i] = r.substitute(at, w)
		if strings.Contains(argv[i], "\x00") || argv[0] == "" {
			r.fault(at, "it is no command")
			return
		}
	}
	if r.count++; r.count > maxCommands {
		if r.count == maxCommands+1 {
			r.fault(at, "there are more than %d commands", maxCommands)
		}
		return
	}
	r.c.Steps = append(r.c.Steps, Step{Key: key, Each: each, Argv: argv})
}
