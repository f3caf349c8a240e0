// Package links follows symbolic links one by one. Who only asks where a path leads in
// the end does not see that somebody else may write a link on the way.
//
// # Limitations
//
// It says what was there when it looked. Links that the kernel makes up (/proc/self/exe)
// are followed by their text.
package links

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxHops is how many links the kernel follows at most.
const maxHops = 40

// Hops lists the names by which path, which is absolute, is reached: itself, after each
// link that is followed the place of that link and what the path is then, and at last
// the name that no link is a part of, also where nothing is there yet. All are
// absolute and clean, each is there once. A link that leads in circles ends it.
func Hops(path string) []string {
	names := []string{filepath.Clean(path)}
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	at, rest := "/", parts(path)
	for hops := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0]) // .. as well: at has no links in it
		rest = rest[1:]
		text, err := os.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		add(filepath.Clean(next))
		if hops++; hops > maxHops {
			return names
		}
		if filepath.IsAbs(text) {
			at = "/"
		}
		rest = append(parts(text), rest...)
		add(filepath.Join(append([]string{at}, rest...)...))
	}
	add(at)
	return names
}

func parts(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(p string) bool { return p == "" || p == "." })
}
