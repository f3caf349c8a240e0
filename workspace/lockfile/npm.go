package lockfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// maxDepth bounds how deep nested dependencies are followed.
const maxDepth = 100

// maxNested bounds how deep the JSON is.
const maxNested = 1000

// npm reads keys exactly as they are written, as npm does, and of a key that comes
// twice the last.
func npm(data string) Lock {
	l, _ := npmFile(data)
	return l
}

// npmDoubts says what a file of npm's has that is no tool's work.
func npmDoubts(data string) []string {
	_, doubts := npmFile(data)
	return doubts
}

// An npmReader reads a file of npm's.
type npmReader struct {
	l      Lock
	doubts []string
}

func (r *npmReader) doubt(format string, v ...any) {
	if s := fmt.Sprintf(format, v...); len(r.doubts) <= maxTold && !slices.Contains(r.doubts, s) {
		r.doubts = append(r.doubts, s)
	}
}

func npmFile(data string) (Lock, []string) {
	r := &npmReader{}
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	v, err := r.value(d, 0)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("it goes on after its end")
		}
	}
	top, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, []string{"it cannot be read: what it installs is not known"}
	}
	r.keys(top, "the file")
	packages := r.object(top, "packages", "the file")
	for _, at := range slices.Sorted(maps.Keys(packages)) {
		if at == "" {
			continue // the project
		}
		name := at
		if i := strings.LastIndex(at, "node_modules/"); i >= 0 {
			name = at[i+len("node_modules/"):]
		}
		r.entry(name, packages[at])
	}
	r.nested(r.object(top, "dependencies", "the file"), 0)
	return r.l, r.doubts
}

// value reads one value; a key that comes twice in an object is a doubt.
func (r *npmReader) value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth > maxNested {
		return nil, errors.New("too deep")
	}
	var list []any
	object := map[string]any{}
	for d.More() {
		key := ""
		if open == '{' {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ = k.(string)
		}
		v, err := r.value(d, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '[' {
			list = append(list, v)
			continue
		}
		if _, twice := object[key]; twice {
			r.doubt("the key %q comes twice in one place", key)
		}
		object[key] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if open == '[' {
		return list, nil
	}
	return object, nil
}

// npmKeys are those that are read.
var npmKeys = []string{"packages", "dependencies", "version", "resolved", "integrity", "link"}

// keys doubts those that are nearly one that is read.
func (r *npmReader) keys(object map[string]any, of string) {
	for _, k := range slices.Sorted(maps.Keys(object)) {
		for _, want := range npmKeys {
			if k != want && strings.EqualFold(k, want) {
				r.doubt("%s has a key %q beside or instead of %q", of, k, want)
			}
		}
	}
}

// object is the object of that key.
func (r *npmReader) object(in map[string]any, key, of string) map[string]any {
	v, ok := in[key]
	o, isObject := v.(map[string]any)
	if ok && !isObject {
		r.doubt("%q of %s is not what it ought to be", key, of)
	}
	return o
}

// text is the text of that key.
func (r *npmReader) text(in map[string]any, key, of string) string {
	v, ok := in[key]
	s, isText := v.(string)
	if ok && !isText && v != false { // "resolved": false is npm's own
		r.doubt("%q of %s is not what it ought to be", key, of)
	}
	return s
}

// entry reads one package.
func (r *npmReader) entry(name string, v any) map[string]any {
	e, ok := v.(map[string]any)
	if !ok {
		r.doubt("the entry of %q is not what it ought to be", name)
		return nil
	}
	r.keys(e, name)
	p := Package{Name: name, Version: r.text(e, "version", name), Source: r.text(e, "resolved", name), Sum: r.text(e, "integrity", name)}
	if link, ok := e["link"]; ok && link != false {
		p.Source = "link:" + p.Source
	}
	if p.Source == "" && !startsDigit(p.Version) {
		p.Source = p.Version // version 1 of the file has addresses there
	}
	r.l = append(r.l, p)
	return e
}

func (r *npmReader) nested(deps map[string]any, depth int) {
	if depth > maxDepth {
		r.doubt("its dependencies are nested too deep to be looked at")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(deps)) {
		if e := r.entry(name, deps[name]); e != nil {
			r.nested(r.object(e, "dependencies", name), depth+1)
		}
	}
}
