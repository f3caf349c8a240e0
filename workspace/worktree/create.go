package worktree

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/workspace/rules"
)

// CreateOptions say what [Create] makes.
type CreateOptions struct {
	Source Source
	Dir    string // of the worktree; its parent is made
	Name   string // of the sandbox
	// Rules judge names: what is hidden is left out of the work tree.
	Rules *rules.Rules
	// Who commits inside: some agents have git look at no settings but the repository's.
	Who Signature
	// Uncommitted brings what is changed in the project's work tree and not committed,
	// without what git ignores and what the rules hide.
	Uncommitted bool
}

// newPrefix begins the name of a worktree that is being made.
const newPrefix = ".new-"

// stale is how old what a creation that was killed left must be to be taken away.
const stale = 24 * time.Hour

// ErrThere says that there is a worktree in the folder already: somebody made one meanwhile.
var ErrThere = errors.New("the worktree is there already")

// Create makes a worktree from HEAD, whole or not at all. Of several that make one in the same
// folder one does, and the others get [ErrThere].
func Create(ctx context.Context, o CreateOptions) (*Info, error) {
	r, err := openRepo(ctx, o.Source.GitDir, o.Source.Common)
	if err != nil {
		return nil, err
	}
	defer r.close()
	from, base, err := r.head()
	if errors.Is(err, errNoRef) {
		return nil, errors.New("the repository has no commit yet")
	}
	if err != nil {
		return nil, err
	}
	i := &Info{
		Project: o.Source.Project, Name: o.Name, Branch: Branch(o.Name), Base: hex.EncodeToString([]byte(base)),
		From: strings.TrimPrefix(from, headsPath), Created: time.Now().UTC(),
	}
	switch _, err := r.ref(i.Ref()); {
	case err == nil:
		return nil, fmt.Errorf("the branch %s is there already: merge or delete it, or choose another name", i.Branch)
	case !errors.Is(err, errNoRef):
		return nil, err
	}
	parent := filepath.Dir(o.Dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	sweep(parent)
	tmp, err := os.MkdirTemp(parent, newPrefix)
	if err != nil {
		return nil, err
	}
	m := &making{o: o, r: r, dir: tmp, info: i, base: base}
	if err := m.run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, o.Dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = ErrThere
		}
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return i, nil
}

// sweep removes what creations left that were killed, and worktrees that are empty. What is being made now is empty
// at first, too: it stays until it is stale.
func sweep(parent string) {
	names, _ := os.ReadDir(parent)
	for _, n := range names {
		p := filepath.Join(parent, n.Name())
		if !strings.HasPrefix(n.Name(), newPrefix) {
			_ = os.Remove(p) // only what is empty goes
			continue
		}
		if st, err := os.Lstat(p); err == nil && time.Since(st.ModTime()) > stale {
			_ = os.RemoveAll(p)
		}
	}
}

// A making is a worktree that is being made in dir.
type making struct {
	o    CreateOptions
	r    *repo
	dir  string
	info *Info
	base string
}

func (m *making) run(ctx context.Context) error {
	for _, d := range []string{treeDir, shadowDir, cacheDir, sessionsDir} {
		if err := os.Mkdir(filepath.Join(m.dir, d), 0o700); err != nil {
			return err
		}
	}
	if err := m.gitDir(); err != nil {
		return err
	}
	c, err := m.r.commit(m.base)
	if err != nil {
		return missing(err)
	}
	f, err := openFolder(Tree(m.dir))
	if err != nil {
		return err
	}
	defer f.close()
	// Older than the index, so that git does not read every file again.
	out := &checkout{ctx: ctx, r: m.r, to: f, at: time.Now().Add(-10 * time.Second).Truncate(time.Second), index: &index{hash: m.r.hash}}
	m.info.Stamp = out.at.Unix()
	if err := out.tree(c.tree, "", place{state: m.o.Rules.Root()}); err != nil {
		return missing(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, treeDir, ".git/index"), out.index.encode(), 0o600); err != nil {
		return err
	}
	if m.o.Uncommitted {
		if err := bringChanges(ctx, m.o, out); err != nil {
			return fmt.Errorf("bring uncommitted changes: %w", err)
		}
	}
	b, err := json.MarshalIndent(m.info, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.dir, infoFile), append(b, '\n'), 0o600)
}

// missing explains an object that is not there.
func missing(err error) error {
	if strings.Contains(err.Error(), "there is no such object") {
		return fmt.Errorf("%w: the repository is incomplete, or borrows objects elsewhere (git fetch --refetch, or git repack -a -d and remove objects/info/alternates)", err)
	}
	return err
}

// gitDir makes the git directory, but for the index.
func (m *making) gitDir() error {
	at := func(name string) string { return filepath.Join(m.dir, treeDir, ".git", name) }
	for _, d := range []string{"objects/info", "objects/pack", "refs/heads/belljar", "refs/tags", "info", "hooks"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			return err
		}
	}
	refs, err := m.r.refs("refs/heads/", "refs/tags/", "refs/remotes/")
	if err != nil {
		return err
	}
	files := map[string]string{
		"HEAD":                    "ref: " + m.info.Ref() + "\n",
		m.info.Ref():              m.info.Base + "\n",
		"objects/info/alternates": Objects + "\n",
		"packed-refs":             packedRefs(refs),
		"config":                  m.config(),
	}
	for name, from := range map[string]string{"shallow": "shallow", "info/exclude": "info/exclude"} {
		if text, err := readText(m.r.common, from); err == nil {
			files[name] = text
		}
	}
	for name, text := range files {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// packedRefs is the user's branches, but for those of other sandboxes.
func packedRefs(refs map[string]string) string {
	var names []string
	for ref := range refs {
		if !strings.HasPrefix(ref, headsPath+"belljar/") {
			names = append(names, ref)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, ref := range names {
		fmt.Fprintf(&b, "%x %s\n", refs[ref], ref)
	}
	return b.String()
}

// config is the configuration of the new repository: nothing of the user's but remotes
// and which branches follow them.
func (m *making) config() string {
	var b strings.Builder
	version, format := 0, ""
	if m.r.hash == 32 {
		version, format = 1, "[extensions]\n\tobjectFormat = sha256\n"
	}
	fmt.Fprintf(&b, "[core]\n\trepositoryFormatVersion = %d\n\tfileMode = true\n\tbare = false\n\tlogAllRefUpdates = true\n\tcheckStat = minimal\n%s", version, format)
	esc := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	if w := m.o.Who; w.Name != "" {
		fmt.Fprintf(&b, "[user]\n\tname = \"%s\"\n\temail = \"%s\"\n", esc.Replace(identity(w.Name)), esc.Replace(identity(w.Email)))
	}
	text, err := readText(m.r.common, "config")
	if err != nil {
		return b.String()
	}
	kept := map[string]bool{"remote.url": true, "remote.fetch": true, "branch.remote": true, "branch.merge": true}
	var all []rules.Setting
	for _, s := range rules.Settings(text) {
		if !kept[s.Section+"."+s.Name] || s.Sub == "" || len(s.Value) > 4096 || strings.ContainsAny(s.Sub+s.Value, "\n\r\x00") {
			continue
		}
		if s.Name == "url" {
			if s.Value = remoteURL(s.Value); s.Value == "" {
				continue
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b rules.Setting) int {
		return cmp.Or(strings.Compare(a.Section, b.Section), strings.Compare(a.Sub, b.Sub))
	})
	last := ""
	for _, s := range all {
		if head := "[" + s.Section + " \"" + esc.Replace(s.Sub) + "\"]\n"; head != last {
			b.WriteString(head)
			last = head
		}
		b.WriteString("\t" + s.Name + " = \"" + esc.Replace(s.Value) + "\"\n")
	}
	return b.String()
}

// remoteURL is where a remote is, without a user's name or password; empty for what is
// on this host or runs a program.
func remoteURL(s string) string {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"https", "http", "ssh", "git"}, u.Scheme) || u.Host == "" {
			return ""
		}
		if u.Scheme != "ssh" || u.User == nil {
			u.User = nil
			return u.String()
		}
		u.User = url.User(u.User.Username())
		return u.String()
	}
	host, _, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(host, "/ ") || host == "" || strings.Contains(s, "::") {
		return ""
	}
	return s
}
