// Package gitwrite makes a commit of files of a repository without running git: no
// hook, filter, program or setting of the repository is executed or obeyed.
//
//	r, err := gitwrite.Commit(gitwrite.Options{Dir: dir, Files: files, Message: msg, Name: n, Email: e})
//
// Objects, reference and index are written below the repository's own folder .git,
// through no symbolic link that leads out of it, under git's own locks, and each
// appears in one step. Killed at any moment, the repository is valid: at worst the
// commit is there and the index is the old one, or a lock file is left.
//
// # Limitations
//
// It refuses what it cannot do as git would: linked work trees, SHA-256 and reftable
// repositories, a detached HEAD, a merge or rebase that goes on, an index that is
// split or has files that git is to assume unchanged, files for which attributes name a filter, or whose line ends git would
// change. Commits are not signed. Only ignore files of the repository count, not the
// user's own.
package gitwrite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/index"

	"github.com/belljar-dev/belljar/workspace/gitcommits"
	"github.com/belljar-dev/belljar/workspace/gitindex"
	"github.com/belljar-dev/belljar/workspace/internal/ignore"
	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// The modes of files.
const (
	ModeFile = 0o100644
	ModeExec = 0o100755
	ModeLink = 0o120000
	modeDir  = 0o040000
	modeSub  = 0o160000
)

// A File is what a commit has at a path; Mode 0 removes what is there, and below.
type File struct {
	Path string
	Mode uint32
	Data []byte // the text, for a symbolic link
}

// Options say what is committed.
type Options struct {
	Dir         string // the work tree, a real path that holds .git
	Files       []File
	Message     string
	Name, Email string // author and committer
	Time        time.Time
}

// A Result says what was done.
type Result struct {
	ID      string // in hex; empty when nothing was to be committed
	Branch  string
	Skipped map[string]string // why files were left out
}

// A commit is one that is being made.
type commit struct {
	Options
	top, git *os.Root
	objects  *gitcommits.Objects
	ref      string
	parent   string // hex; empty for the first commit
	index    *index.Index
	skipped  map[string]string
}

// Commit makes the commit on the branch that HEAD names.
func Commit(o Options) (Result, error) {
	c := &commit{Options: o, skipped: map[string]string{}}
	defer c.close()
	if err := c.open(); err != nil {
		return Result{}, err
	}
	lock, err := c.git.OpenFile("index.lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return Result{}, fmt.Errorf("lock the index: %w", err)
	}
	defer func() { _ = lock.Close() }()
	done := false
	defer func() {
		if !done {
			_ = c.git.Remove("index.lock")
		}
	}()
	if err := c.readIndex(); err != nil {
		return Result{}, err
	}
	id, err := c.make()
	r := Result{ID: id, Branch: strings.TrimPrefix(c.ref, "refs/heads/"), Skipped: c.skipped}
	if err != nil || id == "" {
		return r, err
	}
	if err := index.NewEncoder(lock).Encode(c.index); err != nil {
		return r, fmt.Errorf("write the index: %w", err)
	}
	if err := c.advance(id); err != nil {
		return r, err
	}
	if err := c.git.Rename("index.lock", "index"); err != nil {
		return r, fmt.Errorf("write the index: %w", err)
	}
	done = true
	return r, nil
}

func (c *commit) close() {
	if c.objects != nil {
		c.objects.Close()
	}
	for _, r := range []*os.Root{c.git, c.top} {
		if r != nil {
			_ = r.Close()
		}
	}
}

// open opens the repository and refuses what is not supported.
func (c *commit) open() error {
	var err error
	if c.top, err = os.OpenRoot(c.Dir); err != nil {
		return err
	}
	switch st, err := c.top.Lstat(".git"); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the project is not the top of a git repository")
	case err != nil:
		return err
	case !st.IsDir():
		return errors.New("a linked work tree or submodule is not supported")
	}
	if c.git, err = c.top.OpenRoot(".git"); err != nil {
		return err
	}
	config, err := c.git.ReadFile("config")
	if err != nil {
		return err
	}
	if gitindex.FormatOf(config) != gitindex.SHA1 || strings.Contains(strings.ToLower(string(config)), "refstorage") {
		return errors.New("a repository of this format is not supported")
	}
	for _, n := range []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "commondir"} {
		if _, err := c.git.Lstat(n); err == nil {
			return errors.New("a merge, rebase or the like is going on: end it first")
		}
	}
	if c.ref, err = c.head(); err != nil {
		return err
	}
	if c.parent, err = c.resolve(); err != nil {
		return err
	}
	c.objects, err = gitcommits.OpenObjects(path.Join(c.Dir, ".git"))
	return err
}

// head is the branch that HEAD names.
func (c *commit) head() (string, error) {
	b, err := c.git.ReadFile("HEAD")
	if err != nil {
		return "", err
	}
	if err := gitindex.CheckHead(bytes.NewReader(b), gitindex.SHA1); err != nil {
		return "", err
	}
	ref, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "ref: ")
	if !ok || !strings.HasPrefix(ref, "refs/heads/") {
		return "", errors.New("HEAD is on no branch: check one out first")
	}
	return ref, nil
}

// resolve is what the branch is at; empty when it has no commit.
func (c *commit) resolve() (string, error) {
	if b, err := c.git.ReadFile(c.ref); err == nil {
		return isID(strings.TrimSpace(string(b)))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	b, err := c.git.ReadFile("packed-refs")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if id, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == c.ref {
			return isID(id)
		}
	}
	return "", nil
}

func isID(s string) (string, error) {
	if len(s) != 40 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", errors.New("the branch is damaged")
	}
	return s, nil
}

func (c *commit) readIndex() error {
	c.index = &index.Index{Version: 2}
	f, err := c.git.Open("index")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := gitindex.Check(f, st.Size()); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if err := index.NewDecoder(f).Decode(c.index); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if err := c.checkFlags(); err != nil {
		return err
	}
	for _, e := range c.index.Entries {
		if e.Stage != 0 {
			return errors.New("the index has conflicts: resolve them first")
		}
	}
	// What git keeps beside the entries would be wrong now; it makes it anew.
	c.index.Cache, c.index.ResolveUndo, c.index.EndOfIndexEntry = nil, nil, nil
	return nil
}

// make writes the objects and changes the entries of the index.
func (c *commit) make() (id string, err error) {
	root := ""
	if c.parent != "" {
		if root, err = c.objects.TreeOf(raw(c.parent)); err != nil {
			return "", err
		}
	}
	old, err := c.entriesOf(root)
	if err != nil {
		return "", err
	}
	top := &node{}
	byPath := map[string]*index.Entry{}
	for _, e := range c.index.Entries {
		byPath[e.Name] = e
	}
	for _, f := range c.Files {
		if why := c.leaveOut(f, old, byPath); why != "" {
			c.skipped[f.Path] = why
			continue
		}
		blob := ""
		if f.Mode != 0 {
			if blob, err = c.write(objects.Blob, f.Data); err != nil {
				return "", err
			}
		}
		top.put(f.Path, entry{f.Mode, blob})
		c.inIndex(byPath, old, f, blob)
	}
	tree, err := c.build(top, root)
	if err != nil {
		return "", err
	}
	if tree == "" {
		if tree, err = c.write(objects.Tree, nil); err != nil {
			return "", err
		}
	}
	if tree == root || root == "" && len(top.kids) == 0 {
		return "", nil
	}
	c.index.Entries = nil
	for _, e := range byPath {
		c.index.Entries = append(c.index.Entries, e)
	}
	obj, err := c.write(objects.Commit, c.text(tree))
	return hexOf(obj), err
}

// text is the commit object.
func (c *commit) text(tree string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %x\n", tree)
	if c.parent != "" {
		fmt.Fprintf(&b, "parent %s\n", c.parent)
	}
	who := c.who()
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s\n", who, who, strings.TrimRight(strings.ReplaceAll(c.Message, "\x00", ""), "\n"))
	return b.Bytes()
}

func (c *commit) who() string {
	clean := func(s string) string {
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == '<' || r == '>' || r == 0x7f {
				return -1
			}
			return r
		}, s))
	}
	return fmt.Sprintf("%s <%s> %d %s", clean(c.Name), clean(c.Email), c.Time.Unix(), c.Time.Format("-0700"))
}

// leaveOut says why a file is not committed.
func (c *commit) leaveOut(f File, old map[string]entry, byPath map[string]*index.Entry) string {
	parts := strings.Split(f.Path, "/")
	for i, p := range parts {
		if p == "" || p == "." || p == ".." || rules.IsDotGit(p) {
			return "git does not keep such a name"
		}
		above := strings.Join(parts[:i], "/")
		if e := old[above]; e.mode == modeSub {
			return "it lies in a submodule"
		}
		if i == 0 {
			continue
		}
		if _, err := c.top.Lstat(path.Join(above, ".git")); err == nil {
			return "it lies in a repository of its own"
		}
	}
	if why := c.staged(f, old, byPath); why != "" || f.Mode == 0 {
		return why
	}
	if _, tracked := old[f.Path]; !tracked && ignore.File(c.ignores(f.Path), f.Path) {
		return "git ignores it"
	}
	return c.converted(f)
}

// ignores are the patterns that hold for a path, in git's order.
func (c *commit) ignores(rel string) []ignore.Rule {
	var ps []ignore.Rule
	if b, err := c.git.ReadFile("info/exclude"); err == nil {
		ps = ignore.Parse("", string(b))
	}
	for _, dir := range above(rel) {
		if b, err := c.regular(path.Join(dir, ".gitignore")); err == nil {
			ps = append(ps, ignore.Parse(dir, string(b))...)
		}
	}
	return ps
}

// above are the folders above rel, the top first.
func above(rel string) []string {
	out := []string{""}
	for i, c := range rel {
		if c == '/' {
			out = append(out, rel[:i])
		}
	}
	return out
}

func (c *commit) regular(rel string) ([]byte, error) {
	st, err := c.top.Lstat(rel)
	if err != nil || !st.Mode().IsRegular() || st.Size() > 1<<20 {
		return nil, fs.ErrNotExist
	}
	return c.top.ReadFile(rel)
}

// converted says why git would not store the bytes as they are.
func (c *commit) converted(f File) string {
	if f.Mode == ModeLink {
		return ""
	}
	texts := [][]byte{}
	if b, err := c.git.ReadFile("info/attributes"); err == nil {
		texts = append(texts, b)
	}
	for _, dir := range above(f.Path) {
		if b, err := c.regular(path.Join(dir, ".gitattributes")); err == nil {
			texts = append(texts, b)
		}
	}
	all := string(bytes.Join(texts, []byte("\n")))
	for _, word := range []string{"filter=", "working-tree-encoding", "ident"} {
		if strings.Contains(all, word) {
			return "attributes of git change what is stored (" + strings.TrimSuffix(word, "=") + ")"
		}
	}
	config, _ := c.git.ReadFile("config")
	if bytes.Contains(f.Data, []byte("\r\n")) && (all != "" || strings.Contains(strings.ToLower(string(config)), "autocrlf")) {
		return "git may change its line ends"
	}
	return ""
}

// inIndex makes the index say what the commit has.
func (c *commit) inIndex(byPath map[string]*index.Entry, old map[string]entry, f File, blob string) {
	if f.Mode == 0 && byPath[f.Path] == nil || old[f.Path].mode == modeDir {
		for name := range byPath {
			if strings.HasPrefix(name, f.Path+"/") {
				delete(byPath, name)
			}
		}
	}
	delete(byPath, f.Path)
	if f.Mode != 0 {
		for _, dir := range above(f.Path) {
			delete(byPath, dir)
		}
	}
	if f.Mode == 0 {
		return
	}
	e := &index.Entry{Name: f.Path}
	copy(e.Hash[:], blob)
	e.Mode = fileMode(f.Mode)
	c.stat(e, f)
	byPath[f.Path] = e
}

// advance moves the branch from its commit to id.
func (c *commit) advance(id string) error {
	if err := c.git.MkdirAll(path.Dir(c.ref), 0o755); err != nil {
		return err
	}
	lock, err := c.git.OpenFile(c.ref+".lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("lock the branch: %w", err)
	}
	_, err = lock.WriteString(id + "\n")
	err = errors.Join(err, lock.Close())
	if now, e := c.resolve(); err == nil && (e != nil || now != c.parent) {
		err = errors.Join(errors.New("the branch has moved meanwhile"), e)
	}
	if err == nil {
		err = c.git.Rename(c.ref+".lock", c.ref)
	}
	if err != nil {
		_ = c.git.Remove(c.ref + ".lock")
		return err
	}
	subject, _, _ := strings.Cut(c.Message, "\n")
	line := fmt.Sprintf("%s %s %s\tcommit: %s\n", orZero(c.parent), id, c.who(), subject)
	for _, n := range []string{"logs/HEAD", "logs/" + c.ref} { // for the user's reflog; without it the commit is there all the same
		if f, err := c.git.OpenFile(n, os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
			_, _ = f.WriteString(line)
			_ = f.Close()
		}
	}
	return nil
}

func orZero(id string) string {
	if id == "" {
		return strings.Repeat("0", 40)
	}
	return id
}

// Paths are those that were left out, sorted.
func (r Result) Paths() []string {
	var out []string
	for p := range r.Skipped {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}
