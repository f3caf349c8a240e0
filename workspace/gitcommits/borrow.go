package gitcommits

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// maxText bounds packed-refs and the list of those that a store borrows from.
const maxText = 4 << 20

// openStore opens the objects of a repository and of those that it borrows from.
func openStore(repo Repository) (*objects.Store, error) {
	dir := filepath.Join(commonDir(repo.GitDir), "objects")
	var roots []*os.Root
	for _, d := range append(append([]string{dir}, alternates(dir)...), repo.Borrows...) {
		r, err := os.OpenRoot(d)
		if err != nil {
			if len(roots) == 0 {
				return nil, fmt.Errorf("open objects: %w", err)
			}
			continue
		}
		roots = append(roots, r)
	}
	return objects.Open(roots...), nil
}

// commonDir is the directory that a linked work tree's git directory shares.
func commonDir(gitDir string) string {
	b, err := os.ReadFile(filepath.Join(gitDir, "commondir"))
	c := strings.TrimSpace(string(b))
	switch {
	case err != nil || c == "":
		return gitDir
	case filepath.IsAbs(c):
		return c
	}
	return filepath.Join(gitDir, c)
}

func alternates(objects string) []string {
	b, err := os.ReadFile(filepath.Join(objects, "info/alternates"))
	if err != nil || len(b) > maxText {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(out) > 10 {
			continue
		}
		if !filepath.IsAbs(line) {
			line = filepath.Join(objects, line)
		}
		out = append(out, line)
	}
	return out
}

// Folders are those that a look at a repository reads beside its git directory: what
// it shares with others, and the object stores that it borrows from.
func Folders(repo Repository) []string {
	common := commonDir(repo.GitDir)
	return append(append([]string{common}, alternates(filepath.Join(common, "objects"))...), repo.Borrows...)
}
