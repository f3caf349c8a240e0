package worktree

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/workspace/internal/lines"
	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// Op is what a change does to a file.
type Op string

// The operations.
const (
	OpAdd    Op = "add"
	OpModify Op = "modify"
	OpDelete Op = "delete"
)

// A Change is one file that differs between two commits. Path is raw bytes from inside.
type Change struct {
	Path   string      `json:"path"`
	Op     Op          `json:"op"`
	Class  rules.Class `json:"class,omitempty"`
	Reason string      `json:"reason,omitempty"` // why somebody should look at it; empty: an ordinary file
	Risky  bool        `json:"risky,omitempty"`  // it runs by itself, hides, or leads out of the project

	from, to side
}

// A Conflict is a file that both sides changed.
type Conflict struct {
	Path string `json:"path"`
	Why  string `json:"why"`
	// Text is the file with both sides between markers, where it is a text.
	Text []byte `json:"-"`
}

// A Signature is who makes a merge.
type Signature struct{ Name, Email string }

// MergeOptions say what to merge.
type MergeOptions struct {
	Source Source
	Info   *Info
	Who    Signature
	Rules  *rules.Rules
	Risky  bool // risky changes may land, too
}

// A Merged says what became of a merge.
type Merged struct {
	Into        string `json:"into"` // the branch; empty where none is checked out
	UpToDate    bool   `json:"up_to_date,omitempty"`
	FastForward bool   `json:"fast_forward,omitempty"`
	Commit      string `json:"commit,omitempty"` // that HEAD is now, in hexadecimal digits
	// Changes are what landed; where nothing did, what the branch brings.
	Changes   []Change   `json:"changes,omitempty"`
	Conflicts []Conflict `json:"conflicts,omitempty"` // not empty: nothing was changed
	// Blocked says why it did not land; empty: it did, or there are conflicts.
	Blocked string `json:"blocked,omitempty"`
}

// Merge merges the branch that [Fetch] brought home into the one that is checked out,
// as git merge does, but for renames, which it does not look for. Where there are
// conflicts, risky files without consent, or changes of the user in the way, nothing
// is changed and the result says why.
func Merge(ctx context.Context, o MergeOptions) (*Merged, error) {
	r, err := openRepo(ctx, o.Source.GitDir, o.Source.Common)
	if err != nil {
		return nil, err
	}
	defer r.close()
	ref, ours, err := r.head()
	if err != nil {
		return nil, fmt.Errorf("find what is checked out: %w", err)
	}
	theirs, err := r.ref(o.Info.Ref())
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", o.Info.Branch, err)
	}
	res := &Merged{Into: strings.TrimPrefix(ref, headsPath)}
	bases, err := r.bases(ctx, ours, theirs)
	if err != nil {
		return nil, err
	}
	m := &merging{ctx: ctx, r: r, o: o, res: res, fresh: map[string]made{}}
	switch {
	case len(bases) == 0:
		res.Blocked = "the branches have no commit in common"
		return res, m.listSince(bases, theirs)
	case len(bases) > 1:
		res.Blocked = "the branches have more than one common beginning"
		return res, m.listSince(bases, theirs)
	case bases[0] == theirs:
		res.UpToDate, res.Commit = true, hex.EncodeToString([]byte(ours))
		return res, nil
	}
	target, err := m.combine(bases[0], ours, theirs)
	if err != nil || len(res.Conflicts) > 0 {
		return res, err
	}
	l := &landing{merging: m, ref: ref, from: ours, to: target}
	return res, l.run()
}

// made is an object that the merge makes.
type made struct {
	t objects.Type
	b []byte
}

// A merging carries what the steps of [Merge] share.
type merging struct {
	ctx   context.Context
	r     *repo
	o     MergeOptions
	res   *Merged
	fresh map[string]made
	order []string
	seen  int // names that were merged
}

func (m *merging) add(t objects.Type, b []byte) string {
	id := objects.Sum(t, b, m.r.hash)
	if _, ok := m.fresh[id]; !ok && !m.r.store.Has(id) {
		m.fresh[id] = made{t, b}
		m.order = append(m.order, id)
	}
	return id
}

// blob reads a file of the repository or of the merge.
func (m *merging) blob(id string) ([]byte, error) {
	if f, ok := m.fresh[id]; ok {
		return f.b, nil
	}
	return m.r.blob(id)
}

func (m *merging) tree(id string) ([]entry, error) {
	if f, ok := m.fresh[id]; ok {
		return parseTree(f.b, m.r.hash)
	}
	return m.r.tree(id)
}

// combine makes the commit that HEAD is to be, and lists what changes.
func (m *merging) combine(base, ours, theirs string) (string, error) {
	var trees [3]string
	for i, id := range []string{base, ours, theirs} {
		c, err := m.r.commit(id)
		if err != nil {
			return "", err
		}
		trees[i] = c.tree
	}
	if base == ours {
		m.res.FastForward = true
		return theirs, m.list(trees[1], trees[2])
	}
	top, err := m.merge("", side{modeDir, trees[0]}, side{modeDir, trees[1]}, side{modeDir, trees[2]}, 0)
	if err == nil && len(m.res.Conflicts) > 0 {
		err = m.listSince([]string{base}, theirs)
	}
	if err != nil || len(m.res.Conflicts) > 0 {
		return "", err
	}
	if top.id == "" {
		top.id = m.add(objects.Tree, nil)
	}
	if err := m.list(trees[1], top.id); err != nil {
		return "", err
	}
	now := time.Now()
	who := fmt.Sprintf("%s <%s> %d %s", identity(m.o.Who.Name), identity(m.o.Who.Email), now.Unix(), now.Format("-0700"))
	text := fmt.Sprintf("tree %x\nparent %x\nparent %x\nauthor %s\ncommitter %s\n\nMerge branch '%s'\n", top.id, ours, theirs, who, who, m.o.Info.Branch)
	return m.add(objects.Commit, []byte(text)), nil
}

// identity is a name or an address as a commit can hold it.
func identity(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == '<' || c == '>' || c == 0x7f {
			return -1
		}
		return c
	}, s)
}

// list notes what changes between two trees, the risky first.
func (m *merging) list(from, to string) error {
	c := m.comparison()
	err := c.compare("", from, to, place{state: m.o.Rules.Root()}, 0)
	m.res.Changes = c.sorted()
	return err
}

func (m *merging) comparison() *comparison {
	return &comparison{tree: m.tree, blob: m.blob, ctx: m.ctx}
}

// listSince notes what a branch changed since any of the bases: where nothing is merged,
// that is what a merge by hand may land.
func (m *merging) listSince(bases []string, theirs string) error {
	to, err := m.r.commit(theirs)
	if err != nil {
		return err
	}
	from := []string{""}
	for i, id := range bases {
		c, err := m.r.commit(id)
		if err != nil {
			return err
		}
		from = append(from[:i], c.tree)
	}
	all, seen := m.comparison(), map[string]bool{}
	for _, tree := range from {
		c := m.comparison()
		if err := c.compare("", tree, to.tree, place{state: m.o.Rules.Root()}, 0); err != nil {
			return err
		}
		for _, ch := range c.out {
			if !seen[ch.Path] || ch.Risky {
				seen[ch.Path] = true
				all.out = append(all.out, ch)
			}
		}
	}
	m.res.Changes = all.sorted()
	return nil
}

// merge gives what three sides of a name come to.
func (m *merging) merge(at string, b, o, t side, depth int) (side, error) {
	switch {
	case o == t, b == t:
		return o, nil
	case b == o:
		return t, nil
	case depth > maxDepth:
		return side{}, errors.New("folders that lie too deep")
	}
	folder := func(s side) bool { return s.isDir() || !s.exists() }
	if o.isDir() && t.isDir() || folder(b) && folder(o) && folder(t) {
		return m.folders(at, b, o, t, depth)
	}
	return m.files(at, b, o, t)
}

func (m *merging) folders(at string, b, o, t side, depth int) (side, error) {
	var all [3]map[string]side
	var names []string
	seen := map[string]bool{}
	for i, s := range []side{b, o, t} {
		all[i] = map[string]side{}
		if !s.isDir() {
			continue
		}
		es, err := m.tree(s.id)
		if err == nil {
			err = m.ctx.Err()
		}
		if m.seen += weight(len(es), at); err == nil && m.seen > maxWalk {
			err = objects.ErrTooMuch
		}
		if err != nil {
			return side{}, err
		}
		for _, e := range es {
			all[i][e.name] = e.side
			if !seen[e.name] {
				seen[e.name] = true
				names = append(names, e.name)
			}
		}
	}
	var out []entry
	for _, n := range names {
		s, err := m.merge(path.Join(at, n), all[0][n], all[1][n], all[2][n], depth+1)
		if err != nil {
			return side{}, err
		}
		if s.exists() {
			out = append(out, entry{n, s})
		}
	}
	if len(out) == 0 {
		return side{}, nil
	}
	return side{modeDir, m.add(objects.Tree, encodeTree(out))}, nil
}

// files merges what is a file on some side and was changed by both.
func (m *merging) files(at string, b, o, t side) (side, error) {
	fail := func(why string) (side, error) {
		m.res.Conflicts = append(m.res.Conflicts, Conflict{Path: at, Why: why})
		return o, nil
	}
	branch := m.o.Info.Branch
	switch {
	case !o.exists():
		return fail("removed here, changed on " + branch)
	case !t.exists():
		return fail("changed here, removed on " + branch)
	case !o.regular() || !t.regular() || b.exists() && !b.regular():
		return fail("changed on both sides, and not only its text")
	}
	mode := o.mode
	if b.exists() && b.mode == o.mode {
		mode = t.mode
	}
	if o.id == t.id {
		return side{mode, o.id}, nil
	}
	if b.exists() && (b.id == o.id || b.id == t.id) {
		if b.id == o.id {
			return side{mode, t.id}, nil
		}
		return side{mode, o.id}, nil
	}
	var text [3][]byte
	for i, s := range []side{b, o, t} {
		if !s.exists() {
			continue
		}
		var err error
		if text[i], err = m.blob(s.id); err != nil {
			return side{}, err
		}
		if len(text[i]) > maxMerged || bytes.IndexByte(text[i], 0) >= 0 {
			return fail("changed on both sides, and no text")
		}
	}
	out, n := lines.Merge(text[0], text[1], text[2], lines.Labels{Ours: "HEAD", Theirs: branch})
	if n > 0 {
		why := "the same lines were changed on both sides"
		if !b.exists() {
			why = "added on both sides"
		}
		m.res.Conflicts = append(m.res.Conflicts, Conflict{Path: at, Why: why, Text: out})
		return o, nil
	}
	return side{mode, m.add(objects.Blob, out)}, nil
}

// maxMerged bounds a text that is merged line by line.
const maxMerged = 8 << 20
