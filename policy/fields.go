package policy

import (
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

// root decodes the top mapping.
func (d *decoder) root(n ast.Node) {
	version := false
	known := map[string]func(pair){
		"version":   func(p pair) { version = true; d.version(p) },
		"extends":   func(p pair) { d.doc.extends = decodeList(d, p, "extends", "presets", d.presetName) },
		"tier":      d.tier,
		"workspace": func(p pair) { d.fields(p.value, "workspace", d.workspaceKeys()) },
		"files":     func(p pair) { d.fields(p.value, "files", d.fileKeys()) },
		"network":   func(p pair) { d.fields(p.value, "network", d.networkKeys()) },
		"git":       func(p pair) { d.fields(p.value, "git", d.gitKeys()) },
		"llm":       func(p pair) { d.doc.llm = decodeList(d, p, keyLLM, "mappings with host and api", d.llmEntry) },
		"limits":    func(p pair) { d.fields(p.value, "limits", d.limitKeys()) },
		"credentials": func(p pair) {
			d.doc.credentials = decodeList(d, p, "credentials", "credentials", d.credential)
		},
		"otlp":     d.otlp,
		keyRecords: d.records,
		keyNotify:  d.notify,
		"commands": func(p pair) { d.fields(p.value, "commands", d.commandKeys()) },
		"setup":    func(p pair) { d.fields(p.value, "setup", d.setupKeys()) },
		"env":      func(p pair) { d.fields(p.value, "env", map[string]func(pair){"pass": d.pass, "set": d.set}) },
	}
	if d.src.layer == layerPreset {
		d.presetFields(known)
	}
	d.fields(n, "", known)
	if !version {
		d.add(d.at(n), "version", "write version: 1 in the first line", "missing")
	}
}

func (d *decoder) version(p pair) {
	n, ok := p.value.(*ast.IntegerNode)
	if !ok || n.GetToken().Value != "1" {
		d.add(d.at(p.value), "version", "write version: 1", "this belljar reads version 1")
	}
}

func (d *decoder) presetName(n ast.Node, path string) (string, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return "", false
	}
	if _, known := presetSources()[s]; !known {
		suggestion := "presets are " + strings.Join(presetNames(), ", ")
		if strings.ContainsAny(s, "/.") {
			suggestion = "extends names presets, never files; " + suggestion
		} else if c := nearest(s, presetNames()); c != "" {
			suggestion = "did you mean \"" + c + "\"?"
		}
		d.add(d.at(n), path, suggestion, "no preset %q", s)
		return "", false
	}
	return s, true
}

func (d *decoder) tier(p pair) {
	s, ok := d.text(p.value, "tier")
	if !ok {
		return
	}
	if suggestion, ok := d.paths.tier(s); !ok {
		d.add(d.at(p.value), "tier", suggestion, "no tier %q", s)
		return
	}
	d.doc.tier = &item[string]{s, d.at(p.value)}
}

func (d *decoder) mode(p pair) {
	s, ok := d.text(p.value, "workspace.mode")
	if !ok {
		return
	}
	m, suggestion, err := parseMode(s)
	if err != nil {
		d.add(d.at(p.value), "workspace.mode", suggestion, "%s", err)
		return
	}
	d.doc.mode = &item[belljar.Mode]{m, d.at(p.value)}
}

func (d *decoder) fileKeys() map[string]func(pair) {
	pathList := func(p pair, key string, write bool) list[string] {
		return decodeList(d, p, key, "paths", func(n ast.Node, key string) (string, bool) {
			s, ok := d.text(n, key)
			if !ok {
				return "", false
			}
			abs, suggestion, err := d.paths.resolve(s, d.src.dir, write)
			if err != nil {
				d.add(d.at(n), key, suggestion, "%s", err)
			}
			return abs, err == nil
		})
	}
	return map[string]func(pair){
		"read":  func(p pair) { d.doc.read = pathList(p, "files.read", false) },
		"write": func(p pair) { d.doc.write = pathList(p, "files.write", true) },
		"hide":  func(p pair) { d.doc.hide = d.globs(p, "files.hide") },
		"hold":  func(p pair) { d.doc.hold = d.globs(p, "files.hold") },
	}
}

// globs are patterns of names in the workspace.
func (d *decoder) globs(p pair, key string) list[string] {
	return decodeList(d, p, key, "patterns", func(n ast.Node, key string) (string, bool) {
		s, ok := d.text(n, key)
		if !ok {
			return "", false
		}
		if err := checkGlob(s); err != nil {
			d.add(d.at(n), key, "", "%s", err)
			return "", false
		}
		return s, true
	})
}

func (d *decoder) workspaceKeys() map[string]func(pair) {
	return map[string]func(pair){
		"mode": d.mode,
		"pass": func(p pair) { d.doc.landing = d.globs(p, keyLanding) },
	}
}

func (d *decoder) networkKeys() map[string]func(pair) {
	return map[string]func(pair){
		"registries": func(p pair) {
			d.doc.registries = decodeList(d, p, "network.registries", "kinds", d.registry)
		},
		"allow":   func(p pair) { d.doc.allow = decodeList(d, p, "network.allow", "rules", d.rule) },
		"publish": func(p pair) { d.doc.publish = decodeList(d, p, "network.publish", "ports", d.port) },
	}
}

func (d *decoder) registry(n ast.Node, path string) (string, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return "", false
	}
	for _, k := range registryKinds() {
		if s == k {
			return s, true
		}
	}
	suggestion := "kinds are " + strings.Join(registryKinds(), ", ")
	if c := nearest(s, registryKinds()); c != "" {
		suggestion = "did you mean \"" + c + "\"?"
	}
	d.add(d.at(n), path, suggestion, "no kind of registry is called %q", s)
	return "", false
}

func (d *decoder) limitKeys() map[string]func(pair) {
	known := map[string]func(pair){}
	for _, name := range limitNames() {
		known[name] = func(p pair) { d.limit(p, name) }
	}
	return known
}

func (d *decoder) limit(p pair, name string) {
	key := "limits." + name
	s, ok := d.number(p.value, key, "a value such as "+limitKindOf(name).format(limitKindOf(name).preset))
	if !ok {
		return
	}
	v, err := parseLimit(name, s)
	if err != nil {
		d.add(d.at(p.value), key, suggestLimit(name, s), "%s", err)
		return
	}
	d.doc.limits[name] = item[int64]{v, d.at(p.value)}
}

func (d *decoder) pass(p pair) {
	d.doc.pass = decodeList(d, p, "env.pass", "names of variables", func(n ast.Node, key string) (string, bool) {
		s, ok := d.text(n, key)
		if !ok {
			return "", false
		}
		if name, _, has := strings.Cut(s, "="); has && validEnvName(name) {
			d.add(d.at(n), key, "put it below env.set", "%q gives a value: pass only names variables", name)
			return "", false
		}
		if !validEnvName(s) {
			d.add(d.at(n), key, "", "%q is not the name of a variable", s)
			return "", false
		}
		if NeverPassed(s) {
			d.add(d.at(n), key, "env.set may give it a value", "%s never passes: it leads to the host, or the sandbox has its own", s)
			return "", false
		}
		return s, true
	})
}

func (d *decoder) set(p pair) {
	l := list[setting]{set: true, mark: p.key}
	for _, v := range d.pairs(p.value, "env.set") {
		key := join("env.set", v.name)
		if !validEnvName(v.name) {
			d.add(v.key, "env.set", "", "%q is not the name of a variable", v.name)
			continue
		}
		if s, ok := d.text(v.value, key); ok {
			l.items = append(l.items, item[setting]{setting{v.name, s}, v.key})
		}
	}
	d.doc.set = l
}

// presetFields adds the keys that only presets have.
func (d *decoder) presetFields(known map[string]func(pair)) {
	known["about"] = func(p pair) { d.doc.about, _ = d.text(p.value, "about") }
	known["commands"] = func(p pair) { d.doc.commands = decodeList(d, p, "commands", "names", d.text) }
	known["sessions"] = func(p pair) { d.doc.sessions = decodeList(d, p, "sessions", "folders", d.belowHome) }
	known["home"] = func(p pair) { d.doc.home = decodeList(d, p, "home", "files", d.homeFile) }
}

func (d *decoder) belowHome(n ast.Node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if ok && (s == "" || path.Clean(s) != s || path.IsAbs(s) || strings.HasPrefix(s, "..") || s == ".") {
		d.add(d.at(n), key, "", "%q is not a clean path below HOME", s)
		return "", false
	}
	return s, ok
}

func (d *decoder) homeFile(n ast.Node, key string) (HomeFile, bool) {
	var h HomeFile
	d.fields(n, key, map[string]func(pair){
		"path":    func(p pair) { h.Path, _ = d.belowHome(p.value, key+".path") },
		"content": func(p pair) { h.Content, _ = d.text(p.value, key+".content") },
	})
	return h, h.Path != ""
}
