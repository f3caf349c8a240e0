package policy

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

// workspacePlaceholder stands for the workspace's path in a preset's files.
const workspacePlaceholder = "${WORKSPACE}"

//go:embed presets/*.yaml
var presetFiles embed.FS

// PresetInfo describes a preset.
type PresetInfo struct {
	Name     string   `json:"name"`
	About    string   `json:"about"`    // one line
	Commands []string `json:"commands"` // the agents, by bare name, whose runs use it
}

// presetSources are the presets by name.
var presetSources = sync.OnceValue(func() map[string]*source {
	entries, err := presetFiles.ReadDir("presets")
	if err != nil {
		panic(err) // the files are part of the program
	}
	m := make(map[string]*source, len(entries))
	for _, e := range entries {
		data, err := presetFiles.ReadFile(path.Join("presets", e.Name()))
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(e.Name(), ".yaml")
		m[name] = newSource(layerPreset, name, "", data)
	}
	return m
})

// presetDocuments are the presets, each decoded when it is first needed. A test
// holds every one of them to be free of faults, and free of paths, which would
// depend on the user.
var presetDocuments = sync.OnceValue(func() map[string]func() *document {
	m := make(map[string]func() *document, len(presetSources()))
	for name, src := range presetSources() {
		m[name] = sync.OnceValue(func() *document {
			var r report
			d := decode(src, &paths{}, &r)
			if len(r.faults) > 0 {
				panic("preset " + name + ": " + r.faults.Error())
			}
			return d
		})
	}
	return m
})

func presetNames() []string {
	var names []string
	for n := range presetSources() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Presets lists the presets by name.
func Presets() []PresetInfo {
	var l []PresetInfo
	for _, n := range presetNames() {
		d := presetDocuments()[n]()
		info := PresetInfo{Name: n, About: d.about}
		for _, c := range d.commands.items {
			info.Commands = append(info.Commands, c.value)
		}
		l = append(l, info)
	}
	return l
}

// PresetFor is the preset of a known agent, by the bare name of its command. A
// command with a slash is not a known agent, whatever its last name.
func PresetFor(command string) (string, bool) {
	// An agent's preset has the name of its command, so that no other is decoded.
	d, ok := presetDocuments()[command]
	if !ok {
		return "", false
	}
	is := func(c item[string]) bool { return c.value == command }
	if !slices.ContainsFunc(d().commands.items, is) {
		return "", false
	}
	return command, true
}

// mergePreset adds a preset to s; asking for it twice does nothing.
func mergePreset(s *state, name string, at mark) {
	if slices.ContainsFunc(s.presets, func(p item[string]) bool { return p.value == name }) {
		return
	}
	s.presets = append(s.presets, item[string]{name, at})
	d := presetDocuments()[name]()
	for _, k := range keys() {
		k.rule.merge(s, d)
	}
	add(&s.home, d.home.items, func(h HomeFile) string { return h.Path })
	add(&s.sessions, d.sessions.items, same[string])
}

// Expand is the content with the workspace's path in place of ${WORKSPACE}, escaped
// for the strings of the file's format (JSON and TOML share their escapes).
func (h HomeFile) Expand(workspace string) string {
	quoted, err := json.Marshal(workspace)
	if err != nil {
		return h.Content
	}
	return strings.ReplaceAll(h.Content, workspacePlaceholder, string(quoted[1:len(quoted)-1]))
}

// commandMark is the mark of a preset that the command's name chose.
func commandMark(command string) mark {
	return mark{src: &source{layer: layerPreset, file: fmt.Sprintf("the command %s", command)}}
}
