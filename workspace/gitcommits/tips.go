package gitcommits

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// maxRefs bounds the references that are read.
const maxRefs = 20_000

// Tips are the commits that the references of a repository name.
type Tips struct {
	ids map[string]bool // raw
	cut bool            // there are more
}

// ReadTips reads HEAD, those of linked work trees, and all references of a git
// directory (of a linked work tree, too). It ends with ctx; what was read until then
// counts.
func ReadTips(ctx context.Context, gitDir string) (Tips, error) {
	t := Tips{ids: map[string]bool{}}
	for i, dir := range []string{commonDir(gitDir), gitDir} {
		if i > 0 && dir == commonDir(gitDir) {
			break
		}
		r, err := os.OpenRoot(dir)
		if err != nil {
			return t, fmt.Errorf("read references: %w", err)
		}
		t.file(r, "HEAD")
		t.packedRefs(r)
		t.folder(ctx, r, "refs", 0)
		for _, w := range list(r, "worktrees") {
			t.file(r, "worktrees/"+w+"/HEAD")
		}
		_ = r.Close()
	}
	return t, nil
}

func list(r *os.Root, dir string) []string {
	d, err := r.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	names, _ := d.Readdirnames(maxRefs)
	return names
}

// folder reads the references below dir.
func (t *Tips) folder(ctx context.Context, r *os.Root, dir string, depth int) {
	if depth > maxDepth {
		t.cut = true
		return
	}
	d, err := r.Open(dir)
	if err != nil {
		return
	}
	es, _ := d.ReadDir(maxRefs)
	_ = d.Close()
	for _, e := range es {
		if len(t.ids) >= maxRefs || ctx.Err() != nil {
			t.cut = true
			return
		}
		if p := path.Join(dir, e.Name()); e.IsDir() {
			t.folder(ctx, r, p, depth+1)
		} else if !strings.HasSuffix(p, ".lock") {
			t.file(r, p)
		}
	}
}

// file reads one reference.
func (t *Tips) file(r *os.Root, name string) {
	f, _, err := objects.OpenFile(r, name)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err == nil {
		t.add(strings.TrimSpace(string(b)))
	}
}

func (t *Tips) add(digits string) {
	if id, err := hex.DecodeString(digits); err == nil && (len(id) == 20 || len(id) == 32) {
		t.ids[string(id)] = true
	}
}

func (t *Tips) packedRefs(r *os.Root) {
	f, size, err := objects.OpenFile(r, "packed-refs")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if size > maxText {
		t.cut = true
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxText))
	for line := range strings.Lines(string(b)) {
		if len(t.ids) >= maxRefs {
			t.cut = true
			return
		}
		id, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "^")), " ")
		t.add(id)
	}
}
