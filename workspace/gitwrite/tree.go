package gitwrite

import (
	"bytes"
	"compress/zlib"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/index"
)

// An entry is what a tree has at a name.
type entry struct {
	mode uint32
	id   string // raw
}

// A node is what changes at a place: the place itself, or what is below it.
type node struct {
	self *entry
	kids map[string]*node
}

func (n *node) put(rel string, e entry) {
	for part := range strings.SplitSeq(rel, "/") {
		if n.kids == nil {
			n.kids = map[string]*node{}
		}
		if n.kids[part] == nil {
			n.kids[part] = &node{}
		}
		n = n.kids[part]
	}
	n.self = &e
}

// build makes the tree that differs from the old one by what n says; "" for an empty
// one.
func (c *commit) build(n *node, old string) (string, error) {
	entries := map[string]entry{}
	if old != "" {
		list, err := c.objects.Tree(old)
		if err != nil {
			return "", err
		}
		for _, e := range list {
			entries[e.Name] = entry{e.Mode, e.ID}
		}
	}
	for name, kid := range n.kids {
		if kid.self != nil {
			delete(entries, name)
			if kid.self.mode != 0 {
				entries[name] = *kid.self
				continue
			}
		}
		if len(kid.kids) == 0 {
			continue
		}
		below := ""
		if entries[name].mode == modeDir {
			below = entries[name].id
		}
		id, err := c.build(kid, below)
		if err != nil {
			return "", err
		}
		if entries[name].mode == modeDir || id != "" {
			delete(entries, name)
		}
		if id != "" {
			entries[name] = entry{modeDir, id}
		}
	}
	if len(entries) == 0 {
		return "", nil
	}
	return c.write(objects.Tree, encodeTree(entries))
}

func encodeTree(entries map[string]entry) []byte {
	names := make([]string, 0, len(entries))
	for n := range entries {
		names = append(names, n)
	}
	key := func(n string) string { // as git sorts: a folder as if it ended with a slash
		if entries[n].mode == modeDir {
			return n + "/"
		}
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, n := range names {
		fmt.Fprintf(&b, "%o %s\x00%s", entries[n].mode, n, entries[n].id)
	}
	return b.Bytes()
}

// maxEntries bounds what is read of the parent's trees.
const maxEntries = 2_000_000

// entriesOf lists the places of a tree that the files of the commit are about: they
// and the folders above.
func (c *commit) entriesOf(root string) (map[string]entry, error) {
	out := map[string]entry{}
	if root == "" {
		return out, nil
	}
	trees := map[string]map[string]entry{}
	list := func(id string) (map[string]entry, error) {
		if t, ok := trees[id]; ok {
			return t, nil
		}
		es, err := c.objects.Tree(id)
		if err != nil {
			return nil, err
		}
		t := map[string]entry{}
		for _, e := range es {
			t[e.Name] = entry{e.Mode, e.ID}
		}
		trees[id] = t
		return t, nil
	}
	for _, f := range c.Files {
		at, id := "", root
		for part := range strings.SplitSeq(f.Path, "/") {
			t, err := list(id)
			if err != nil {
				return nil, err
			}
			e, ok := t[part]
			if !ok {
				break
			}
			at = path.Join(at, part)
			out[at] = e
			if e.mode != modeDir {
				break
			}
			id = e.id
		}
		if len(out) > maxEntries {
			return nil, errors.New("too many files for one commit")
		}
	}
	return out, nil
}

// write writes an object, if it is not there, and returns its raw id.
func (c *commit) write(kind objects.Type, data []byte) (string, error) {
	id := objects.Sum(kind, data, sha1.Size)
	name := hexOf(id)
	dir := "objects/" + name[:2]
	if _, err := c.git.Lstat(dir + "/" + name[2:]); err == nil {
		return id, nil
	}
	if err := c.git.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	tmp := fmt.Sprintf("%s/tmp_obj_%s", dir, rand.Text())
	f, err := c.git.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return "", err
	}
	z := zlib.NewWriter(f)
	_, err = fmt.Fprintf(z, "%s %d\x00", kind, len(data))
	if err == nil {
		_, err = z.Write(data)
	}
	err = errors.Join(err, z.Close(), f.Sync(), f.Close())
	if err == nil {
		err = c.git.Rename(tmp, dir+"/"+name[2:])
	}
	if err != nil {
		_ = c.git.Remove(tmp)
		return "", fmt.Errorf("write object: %w", err)
	}
	return id, nil
}

func hexOf(id string) string { return hex.EncodeToString([]byte(id)) }

func raw(id string) string {
	b, _ := hex.DecodeString(id)
	return string(b)
}

func fileMode(m uint32) filemode.FileMode { return filemode.FileMode(m) }

// stat fills in what git compares to see that a file is unchanged. Where the file is
// not what was committed, it is left empty: then git looks into it.
func (c *commit) stat(e *index.Entry, f File) {
	st, err := c.top.Lstat(f.Path)
	if err != nil {
		return
	}
	var now []byte
	if f.Mode == ModeLink {
		l, err := c.top.Readlink(f.Path)
		if err != nil {
			return
		}
		now = []byte(l)
	} else if now, err = c.top.ReadFile(f.Path); err != nil {
		return
	}
	if again, err := c.top.Lstat(f.Path); err == nil && bytes.Equal(now, f.Data) && again.ModTime().Equal(st.ModTime()) {
		e.ModifiedAt, e.Size = st.ModTime(), uint32(st.Size())
		fillStat(e, st)
	}
}
