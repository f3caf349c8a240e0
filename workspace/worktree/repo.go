package worktree

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// The bounds of what is read of a repository.
const (
	maxText   = 16 << 20
	maxRefs   = 100_000
	maxBlob   = 256 << 20
	maxDepth  = 100
	headsPath = "refs/heads/"
)

// A repo is an open repository: its git directory, the one that it shares with linked
// work trees (often the same), and its objects.
type repo struct {
	git, common *os.Root
	store       *objects.Store
	// first are the user's own objects, where the repository is a sandbox's that borrows
	// them: what they have is read there. Then each object must be what its name says.
	first   *objects.Store
	hash    int // bytes of a name
	shallow map[string]bool
}

// openRepo opens a repository at real paths. Its list of folders of objects to borrow
// from is not followed, and nothing is read of it when ctx has ended.
func openRepo(ctx context.Context, gitDir, common string) (_ *repo, err error) {
	r := &repo{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	for _, d := range []string{gitDir, common} {
		if i, err := os.Lstat(d); err != nil || !i.IsDir() {
			return nil, errors.Join(err, fmt.Errorf("open the repository: %s is no folder", d))
		}
	}
	if r.git, err = os.OpenRoot(gitDir); err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	if r.common, err = os.OpenRoot(common); err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	own, err := r.openObjects()
	if err != nil {
		return nil, err
	}
	r.store = objects.Open(own)
	r.store.Within(ctx)
	r.hash = 20
	if _, id, err := r.head(); err == nil && len(id) == 32 {
		r.hash = 32
	}
	r.readShallow()
	return r, nil
}

// openObjects opens the folder of objects, which must be no link.
func (r *repo) openObjects() (*os.Root, error) {
	if i, err := r.common.Lstat("objects"); err != nil || !i.IsDir() {
		return nil, errors.Join(err, errors.New("the repository has no folder of objects"))
	}
	return r.common.OpenRoot("objects")
}

func (r *repo) close() {
	for _, s := range []*objects.Store{r.store, r.first} {
		if s != nil {
			s.Close()
		}
	}
	for _, d := range []*os.Root{r.git, r.common} {
		if d != nil {
			_ = d.Close()
		}
	}
}

// readText reads a regular file that is no link.
func readText(r *os.Root, name string) (string, error) {
	if i, err := r.Lstat(name); err != nil || !i.Mode().IsRegular() {
		return "", errors.Join(err, fs.ErrNotExist)
	}
	f, size, err := objects.OpenFile(r, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if size > maxText {
		return "", fmt.Errorf("%s is too large", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(b), err
}

// readShallow notes the commits whose parents the repository does not have.
func (r *repo) readShallow() {
	r.shallow = map[string]bool{}
	text, err := readText(r.common, "shallow")
	if err != nil {
		return
	}
	for line := range strings.Lines(text) {
		if id, err := hex.DecodeString(strings.TrimSpace(line)); err == nil {
			r.shallow[string(id)] = true
		}
	}
}

// head gives the branch that is checked out ("" where none is) and its commit; errNoRef
// where it has none yet.
func (r *repo) head() (branch, id string, err error) {
	text, err := readText(r.git, "HEAD")
	if err != nil {
		return "", "", fmt.Errorf("read HEAD: %w", err)
	}
	text = strings.TrimSpace(text)
	ref, ok := strings.CutPrefix(text, "ref: ")
	if !ok {
		id, err := rawID(text)
		return "", id, err
	}
	if !strings.HasPrefix(ref, headsPath) || !validRef(ref) {
		return "", "", fmt.Errorf("HEAD is %q, which is no branch", ref)
	}
	id, err = r.ref(ref)
	return ref, id, err
}

var errNoRef = errors.New("there is no such reference")

func rawID(text string) (string, error) {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != 20 && len(id) != 32 {
		return "", errors.New("a damaged reference")
	}
	return string(id), nil
}

// validRef says whether a name is one that git gives, and leads nowhere else.
func validRef(ref string) bool {
	if !strings.HasPrefix(ref, "refs/") || strings.ContainsAny(ref, " ~^:?*[\\\x7f") || strings.Contains(ref, "..") || strings.Contains(ref, "@{") {
		return false
	}
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") || strings.HasSuffix(part, ".") {
			return false
		}
	}
	return !strings.ContainsFunc(ref, func(c rune) bool { return c < 0x20 })
}

// ref is the commit of a reference, loose or packed; errNoRef.
func (r *repo) ref(ref string) (string, error) {
	for d := path.Dir(ref); d != "."; d = path.Dir(d) {
		if i, err := r.common.Lstat(d); err == nil && !i.IsDir() {
			return "", fmt.Errorf("%s is in the way of the branch", d)
		}
	}
	text, err := readText(r.common, ref)
	if err == nil {
		return rawID(strings.TrimSpace(text))
	}
	if i, lerr := r.common.Lstat(ref); lerr == nil && !i.IsDir() {
		return "", fmt.Errorf("%s is no ordinary file", ref)
	}
	packed, err := r.packed()
	if err != nil {
		return "", err
	}
	if id, ok := packed[ref]; ok {
		return id, nil
	}
	return "", errNoRef
}

// packed reads packed-refs.
func (r *repo) packed() (map[string]string, error) {
	out := map[string]string{}
	text, err := readText(r.common, "packed-refs")
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		digits, ref, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || line[0] == '#' || line[0] == '^' || !validRef(ref) {
			continue
		}
		if id, err := rawID(digits); err == nil && len(out) < maxRefs {
			out[ref] = id
		}
	}
	return out, nil
}

// refs reads all references below the prefixes.
func (r *repo) refs(prefixes ...string) (map[string]string, error) {
	all, err := r.packed()
	if err != nil {
		return nil, err
	}
	for _, p := range prefixes {
		r.loose(all, strings.TrimSuffix(p, "/"), 0)
	}
	for ref := range all {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(ref, p) }) {
			delete(all, ref)
		}
	}
	return all, nil
}

func (r *repo) loose(all map[string]string, dir string, depth int) {
	if i, err := r.common.Lstat(dir); err != nil || !i.IsDir() || depth > maxDepth {
		return
	}
	d, err := r.common.Open(dir)
	if err != nil {
		return
	}
	es, _ := d.ReadDir(maxRefs)
	_ = d.Close()
	for _, e := range es {
		p := path.Join(dir, e.Name())
		if e.IsDir() {
			r.loose(all, p, depth+1)
			continue
		}
		text, err := readText(r.common, p)
		if err != nil || !validRef(p) || len(all) >= maxRefs {
			continue
		}
		if id, err := rawID(strings.TrimSpace(text)); err == nil {
			all[p] = id
		}
	}
}

// object reads an object of a type.
func (r *repo) object(id string, want objects.Type, limit int64) ([]byte, error) {
	from := r.store
	if r.first != nil && r.first.Has(id) {
		from = r.first
	}
	t, b, err := from.Object(id, limit)
	switch {
	case err != nil:
		return nil, err
	case t != want:
		return nil, fmt.Errorf("it is a %s", t)
	case r.first != nil && strictSum(t, b, len(id)) != id:
		return nil, errors.New("its content is not what its name says")
	}
	return b, nil
}

// commit reads a commit; one at the edge of a shallow repository has no parents.
func (r *repo) commit(id string) (*commit, error) {
	b, err := r.object(id, objects.Commit, objects.MaxCommit)
	if err != nil {
		return nil, fmt.Errorf("read commit %x: %w", id, err)
	}
	c, err := looseCommit(b, r.hash)
	if err != nil {
		return nil, fmt.Errorf("read commit %x: %w", id, err)
	}
	if r.shallow[id] {
		c.parents = nil
	}
	return c, nil
}

// tree reads a tree; the empty name is the empty tree.
func (r *repo) tree(id string) ([]entry, error) {
	if id == "" {
		return nil, nil
	}
	b, err := r.object(id, objects.Tree, objects.MaxTree)
	if err != nil {
		return nil, fmt.Errorf("read tree %x: %w", id, err)
	}
	es, err := parseTree(b, r.hash)
	if err != nil {
		return nil, fmt.Errorf("read tree %x: %w", id, err)
	}
	return es, nil
}

func (r *repo) blob(id string) ([]byte, error) {
	b, err := r.object(id, objects.Blob, maxBlob)
	if err != nil {
		return nil, fmt.Errorf("read file %x: %w", id, err)
	}
	return b, nil
}

// busy says what git has not finished in the repository; empty: nothing.
func (r *repo) busy() string {
	for _, n := range []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge", "rebase-apply"} {
		if _, err := r.git.Lstat(n); err == nil {
			return n
		}
	}
	return ""
}

// looseCommit reads what is needed of a commit that is here already, however old git
// wrote it.
func looseCommit(b []byte, hash int) (*commit, error) {
	c := &commit{}
	for line := range strings.Lines(string(b)) {
		key, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "tree", "parent":
			raw, err := hex.DecodeString(v)
			if err != nil || len(raw) != hash {
				return nil, errors.New("a commit with a damaged name in it")
			}
			if key == "tree" {
				c.tree = string(raw)
			} else if len(c.parents) < maxParents {
				c.parents = append(c.parents, string(raw))
			}
		case "committer":
			if f := strings.Fields(v); len(f) > 1 {
				_, _ = fmt.Sscan(f[len(f)-2], &c.time)
			}
			return c, nil
		case "author":
		case "":
			return c, nil
		}
	}
	return c, nil
}
