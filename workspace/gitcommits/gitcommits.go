// Package gitcommits names the self-running files that new commits of a repository
// bring: hooks, editor settings, .envrc and whatever else is held when a sandbox
// writes it into the work tree. A commit carries them past the view, as data; they
// are on the host as soon as somebody checks it out.
//
//	repo := gitcommits.Read(ctx, gitDir, "sub")   // at the start of a run
//	report, err := gitcommits.New(ctx, repo, rules)
//
// New walks from the references that changed to those that were there before, and
// judges every path that differs from all parents of its commit by the rules of the
// view.
//
// It reads the repository itself and runs nothing. Everything in it is hostile:
// sizes, counts, depths and time are bounded, and a [Report] that is not complete
// says so.
//
// # Limitations
//
// Only the given repository is looked at: a caller asks for its submodules and for
// other repositories in the project one by one. Replaced objects and grafts are not followed. Only files that the
// commits add or change are named, not what a merge of them would give.
package gitcommits

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// The bounds.
const (
	maxCommits  = 2000
	maxEntries  = 300_000 // of trees
	maxDepth    = 64      // of folders
	maxFindings = 50
)

// A Finding is a self-running file in a new commit.
type Finding struct {
	Commit string // in hexadecimal digits
	Path   string // in the project, as far as it is known where; raw bytes from inside
	Class  rules.Class
	Reason string
}

// A Report says what the new commits bring.
type Report struct {
	Commits  int       // new ones that were looked at
	Found    []Finding // each path once
	Complete bool      // false: there is more than could be looked at
}

// errIncomplete ends a walk that reached a bound.
var errIncomplete = errors.New("more than can be looked at")

// A Repository is what a git directory had at one time.
type Repository struct {
	GitDir string
	At     string // where its work tree is in the project; empty for the project itself
	Before Tips
	// Borrows are folders of objects that it borrows from, beside those that it names.
	Borrows []string
}

// Read reads the references of a repository. Where there is none yet, everything
// that it has later is new.
func Read(ctx context.Context, gitDir, at string) Repository {
	t, _ := ReadTips(ctx, gitDir)
	return Repository{GitDir: gitDir, At: at, Before: t}
}

// New names what commits bring that are in the repository now and were not reachable
// from what it had before. It ends with ctx; the error says why nothing at all could
// be read. judging is called where there is something to judge: to compile rules takes longer
// than to see that nothing was committed.
func New(ctx context.Context, repo Repository, judging func() (*rules.Rules, error)) (Report, error) {
	before := repo.Before
	now, err := ReadTips(ctx, repo.GitDir)
	if err != nil {
		return Report{}, err
	}
	var fresh []string
	for id := range now.ids {
		if !before.ids[id] {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 0 {
		return Report{Complete: !now.cut}, nil
	}
	if before.cut {
		return Report{Commits: len(fresh)}, nil // what is old is not known: nothing is named in error
	}
	r, err := judging()
	if err != nil {
		return Report{}, err
	}
	s, err := openStore(repo)
	if err != nil {
		return Report{}, err
	}
	defer s.Close()
	w := &walk{ctx: ctx, store: s, nodes: map[string]*node{}, complete: !now.cut && !before.cut}
	slices.Sort(fresh)
	w.run(fresh, before.ids)
	return w.report(rootOf(r, repo.At)), nil
}

// rootOf is where the paths of a repository begin whose work tree is at.
func rootOf(r *rules.Rules, at string) place {
	p := place{state: r.Root()}
	for name := range strings.SplitSeq(at, "/") {
		if name != "" {
			p.state, _ = p.state.Judge(name, rules.Dir)
			p.path += name + "/"
		}
	}
	return p
}

// A walk looks for the commits that are reachable from the fresh ends and not from
// the old ones.
type walk struct {
	ctx      context.Context
	store    *objects.Store
	nodes    map[string]*node
	fresh    []*node // to be looked at
	old      []*node
	order    []*node // fresh ones, as they were found
	complete bool
	left     int // entries of trees
	found    []Finding
	seen     map[string]bool
}

type node struct {
	id      string
	tree    string
	parents []string
	read    bool
	old     bool
}

// run takes steps from both ends in turn, so that a new end in the middle of old
// history is recognised as such after as many steps as it lies deep, and so that no
// date which a commit claims can hide it.
func (w *walk) run(fresh []string, old map[string]bool) {
	for id := range old {
		w.old = append(w.old, w.node(id))
		w.nodes[id].old = true
	}
	for _, id := range fresh {
		w.fresh = append(w.fresh, w.node(id))
	}
	for steps := 0; len(w.fresh) > 0; steps++ {
		if steps >= maxCommits || w.ctx.Err() != nil {
			w.complete = false
			return
		}
		n := w.fresh[0]
		w.fresh = w.fresh[1:]
		if !n.old && !n.read {
			w.order = append(w.order, n)
			for _, p := range w.expand(n) {
				if !p.old && !p.read {
					w.fresh = append(w.fresh, p)
				}
			}
		}
		if len(w.old) > 0 {
			n := w.old[0]
			w.old = w.old[1:]
			for _, p := range w.expand(n) {
				w.age(p)
			}
		}
	}
}

func (w *walk) node(id string) *node {
	n := w.nodes[id]
	if n == nil {
		n = &node{id: id}
		w.nodes[id] = n
	}
	return n
}

// expand reads a commit once and gives its parents; a tag stands for what it names.
func (w *walk) expand(n *node) []*node {
	if !n.read {
		n.read = true
		typ, body, err := w.store.Object(n.id, objects.MaxCommit)
		switch {
		case err != nil:
			w.complete = w.complete && n.old
		case typ == objects.Commit:
			n.tree, n.parents = parseCommit(body)
		case typ == objects.Tag:
			if id, ok := header(body, "object "); ok {
				n.parents = []string{id}
			}
		}
	}
	var out []*node
	for _, p := range n.parents {
		if len(p) == len(n.id) {
			out = append(out, w.node(p))
		}
	}
	return out
}

// age makes n old, and what is known to be behind it.
func (w *walk) age(n *node) {
	stack := []*node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n.old {
			continue
		}
		n.old = true
		if !n.read {
			w.old = append(w.old, n)
			continue
		}
		for _, p := range n.parents {
			stack = append(stack, w.node(p))
		}
		w.old = append(w.old, n)
	}
}

// header is the rest of the first line, which begins with key.
func header(body []byte, key string) (string, bool) {
	line, _, _ := bytes.Cut(body, []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte(key))
	if !ok {
		return "", false
	}
	id, err := hex.DecodeString(string(rest))
	return string(id), err == nil
}

// parseCommit gives tree and parents in raw form.
func parseCommit(body []byte) (tree string, parents []string) {
	tree, _ = header(body, "tree ")
	for {
		_, rest, ok := bytes.Cut(body, []byte("\n"))
		if !ok || len(parents) > 100 {
			return tree, parents
		}
		body = rest
		p, ok := header(body, "parent ")
		if !ok {
			return tree, parents
		}
		parents = append(parents, p)
	}
}

// report judges the commits that were found.
func (w *walk) report(root place) Report {
	w.left, w.seen = maxEntries, map[string]bool{}
	count := 0
	for _, n := range w.order {
		if n.old || n.tree == "" {
			continue
		}
		count++
		var bases []string
		for _, p := range n.parents {
			m := w.node(p)
			if w.expand(m); m.tree != "" {
				bases = append(bases, m.tree)
			}
		}
		if err := w.compare(n, n.tree, bases, root); err != nil {
			w.complete = false
			if w.left <= 0 || w.ctx.Err() != nil || len(w.found) >= maxFindings {
				break
			}
		}
	}
	return Report{Commits: count, Found: w.found, Complete: w.complete}
}

// place is a folder of a tree.
type place struct {
	path  string
	state rules.State
	depth int
}

// compare judges what is in the tree and in none of the bases.
func (w *walk) compare(n *node, tree string, bases []string, at place) error {
	if slices.Contains(bases, tree) {
		return nil
	}
	if at.depth > maxDepth || w.left <= 0 || w.ctx.Err() != nil {
		return errIncomplete
	}
	entries, err := w.tree(tree)
	if err != nil {
		return err
	}
	known := map[string][]entry{}
	for _, b := range bases {
		es, err := w.tree(b)
		if err != nil {
			continue // it only means that more is judged
		}
		for _, e := range es {
			known[e.name] = append(known[e.name], e)
		}
	}
	for _, e := range entries {
		if slices.Contains(known[e.name], e) {
			continue
		}
		if err := w.judge(n, e, known[e.name], at); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) judge(n *node, e entry, before []entry, at place) error {
	p := at.path + e.name
	if e.mode == modeDir {
		next, _ := at.state.Judge(e.name, rules.Dir|rules.Fresh)
		var bases []string
		for _, b := range before {
			if b.mode == modeDir {
				bases = append(bases, b.id)
			}
		}
		return w.compare(n, e.id, bases, place{path: p + "/", state: next, depth: at.depth + 1})
	}
	kind := rules.File
	if e.mode == modeLink {
		kind = rules.Link | rules.Fresh
	}
	_, v := at.state.Judge(e.name, kind)
	// A hidden name that runs counts, a mere secret does not.
	if !v.Class.Runs() && v.Kind != rules.Hold || w.seen[p] {
		return nil
	}
	if len(w.found) >= maxFindings {
		return errIncomplete
	}
	w.seen[p] = true
	w.found = append(w.found, Finding{Commit: hex.EncodeToString([]byte(n.id)), Path: p, Class: v.Class, Reason: v.Reason})
	return nil
}

// entry is one name in a tree; entries are compared with ==.
type entry struct {
	name, id string
	mode     uint32
}

const (
	modeDir  = 0o040000
	modeLink = 0o120000
)

func (w *walk) tree(id string) ([]entry, error) {
	typ, b, err := w.store.Object(id, objects.MaxTree)
	if err != nil {
		return nil, err
	}
	if typ != objects.Tree {
		return nil, errors.New("it is no tree")
	}
	es, err := parseTree(b, len(id))
	w.left -= len(es)
	return es, err
}

func parseTree(b []byte, hash int) ([]entry, error) {
	var out []entry
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte{0})
		mode, name, ok2 := strings.Cut(string(head), " ")
		if !ok || !ok2 || len(rest) < hash || len(mode) > 7 || name == "" {
			return out, errors.New("damaged tree")
		}
		var m uint32
		for _, c := range []byte(mode) {
			if c < '0' || c > '7' {
				return out, errors.New("damaged tree")
			}
			m = m<<3 | uint32(c-'0')
		}
		out = append(out, entry{name: name, id: string(rest[:hash]), mode: m})
		b = rest[hash:]
	}
	return out, nil
}
