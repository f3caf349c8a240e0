// Package lockfile says where the packages of a lock file come from, so that a review
// can tell when one comes from elsewhere than before.
//
//	before, ok := lockfile.Parse("package-lock.json", old)
//	after, _ := lockfile.Parse("package-lock.json", new)
//	for _, why := range lockfile.Compare(before, after) { … }
//
// It knows package-lock.json, npm-shrinkwrap.json, yarn.lock (both forms),
// pnpm-lock.yaml, Cargo.lock, go.sum, go.mod, poetry.lock and uv.lock.
//
// # Limitations
//
// The files are read line by line as their tools write them, apart from npm's, which
// are JSON: a file that is formed otherwise, though its tool may read it, is seen only
// in part. Nothing is asked of any registry: a package that comes from where it always
// came from may be another one all the same. Texts are raw bytes from inside.
package lockfile

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// A Package is one entry of a lock file.
type Package struct {
	Name, Version string
	Source        string // address or kind of the place that it comes from; empty: the tool's own
	Sum           string // as the file has it; empty when there is none
}

// Lock is what a lock file names.
type Lock []Package

// Known says whether the base name is that of a lock file that is understood.
func Known(name string) bool { return parsers[path.Base(name)] != nil }

var parsers = map[string]func(string) Lock{
	"package-lock.json":   npm,
	"npm-shrinkwrap.json": npm,
	"yarn.lock":           yarn,
	"pnpm-lock.yaml":      pnpm,
	"Cargo.lock":          toml,
	"poetry.lock":         toml,
	"uv.lock":             toml,
	"go.sum":              goSum,
	"go.mod":              goMod,
}

// Parse reads a lock file by its name. A file that cannot be read has no packages.
func Parse(name string, data []byte) (l Lock, ok bool) {
	p := parsers[path.Base(name)]
	if p == nil {
		return nil, false
	}
	return p(string(data)), true
}

// Doubts says why a file of npm's may be another to its tool than to [Parse], or what in
// it no tool writes: it cannot be read, a key comes twice, or in another case. Of the
// other formats it says nothing. It may hold bytes from inside.
func Doubts(name string, data []byte) []string {
	switch path.Base(name) {
	case "package-lock.json", "npm-shrinkwrap.json":
		return bound(npmDoubts(string(data)))
	}
	return nil
}

// Place is the part of a source that is compared: the host of an address, else all of
// it. The tool's own registry is "".
func Place(source string) string {
	for _, prefix := range []string{"registry+", "sparse+", "git+", "direct+"} {
		source = strings.TrimPrefix(source, prefix)
	}
	if rest, ok := strings.CutPrefix(source, "git@"); ok { // git@host:path
		host, _, _ := strings.Cut(rest, ":")
		return strings.ToLower(host)
	}
	u, err := url.Parse(source)
	if err != nil || u.Host == "" {
		return source
	}
	host := strings.ToLower(u.Host)
	if u.Scheme != "https" {
		return u.Scheme + "://" + host
	}
	return host
}

// maxTold bounds what is told of one file.
const maxTold = 20

// Compare tells what of after comes from another place than in before, or has another
// sum at the same version. Without a before it tells the places.
func Compare(before, after Lock) []string {
	old, places, byName := map[string]Package{}, map[string]bool{}, map[string]map[string]bool{}
	for _, p := range before {
		old[p.key()] = p
		pl := Place(p.Source)
		places[pl] = true
		if byName[p.Name] == nil {
			byName[p.Name] = map[string]bool{}
		}
		byName[p.Name][pl] = true
	}
	if len(before) == 0 {
		return fresh(after)
	}
	var out []string
	tell := func(format string, v ...any) {
		if s := fmt.Sprintf(format, v...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, p := range after {
		was, known := old[p.key()]
		now := Place(p.Source)
		switch names := byName[p.Name]; {
		case known && was.Source == p.Source && was.Sum != "" && was.Sum != p.Sum:
			tell("%s has another checksum at the same version", p.title())
		case names != nil && !names[now]:
			tell("%s comes from %s instead of %s", p.title(), shown(now), shown(strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
		case names == nil && !places[now]:
			tell("%s comes from %s, which the file did not name", p.title(), shown(now))
		}
	}
	return bound(out)
}

func fresh(l Lock) []string {
	places := map[string]bool{}
	for _, p := range l {
		places[Place(p.Source)] = true
	}
	if len(places) == 0 {
		return nil
	}
	var out []string
	for _, p := range slices.Sorted(maps.Keys(places)) {
		out = append(out, "packages come from "+shown(p))
	}
	return bound(out)
}

func bound(out []string) []string {
	if n := len(out) - maxTold; n > 0 {
		return append(out[:maxTold], fmt.Sprintf("and %d more", n))
	}
	return out
}

func shown(place string) string {
	if place == "" {
		return "the tool's own registry"
	}
	return place
}

func (p Package) key() string { return p.Name + "\x00" + p.Version }

func (p Package) title() string {
	if p.Version == "" {
		return p.Name
	}
	return p.Name + " " + p.Version
}
