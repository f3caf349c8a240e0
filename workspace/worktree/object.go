package worktree

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/belljar-dev/belljar/workspace/rules"
)

// Modes of entries of trees.
const (
	modeDir    = 0o040000
	modeFile   = 0o100644
	modeExec   = 0o100755
	modeLink   = 0o120000
	modeModule = 0o160000
)

// An entry is one name in a tree.
type entry struct {
	name string
	side
}

// A side is what a name stands for; the zero value: nothing.
type side struct {
	mode uint32
	id   string // raw
}

func (s side) exists() bool  { return s.mode != 0 }
func (s side) isDir() bool   { return s.mode == modeDir }
func (s side) regular() bool { return s.mode == modeFile || s.mode == modeExec }

// parseTree reads a tree as strictly as git's own check: modes that git writes, in
// order, no name twice, none that leads anywhere else.
func parseTree(b []byte, hash int) ([]entry, error) {
	var out []entry
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte{0})
		mode, name, ok2 := strings.Cut(string(head), " ")
		if !ok || !ok2 || len(rest) < hash {
			return nil, errors.New("a damaged tree")
		}
		m, ok := map[string]uint32{"40000": modeDir, "100644": modeFile, "100755": modeExec, "120000": modeLink, "160000": modeModule, "100664": modeFile}[mode]
		if !ok {
			return nil, fmt.Errorf("a tree with the mode %q", mode)
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		e := entry{name, side{m, string(rest[:hash])}}
		if len(out) > 0 && order(out[len(out)-1]) >= order(e) {
			return nil, errors.New("a tree whose names are not in order")
		}
		if m == modeLink && isDot(name, "gitmodules", "gi7eb") {
			return nil, errors.New("a link called .gitmodules")
		}
		out, b = append(out, e), rest[hash:]
	}
	return out, twice(out)
}

// order is the name by which git sorts an entry.
func order(e entry) string {
	if e.isDir() {
		return e.name + "/"
	}
	return e.name
}

// twice refuses a name that is a file and a folder.
func twice(es []entry) error {
	seen := make(map[string]bool, len(es))
	for _, e := range es {
		if seen[e.name] {
			return fmt.Errorf("a tree with %q twice", e.name)
		}
		seen[e.name] = true
	}
	return nil
}

// encodeTree is the reverse of [parseTree].
func encodeTree(es []entry) []byte {
	slices.SortFunc(es, func(a, b entry) int { return strings.Compare(order(a), order(b)) })
	var b bytes.Buffer
	for _, e := range es {
		fmt.Fprintf(&b, "%o %s\x00%s", e.mode, e.name, e.id)
	}
	return b.Bytes()
}

// checkName refuses names that lead elsewhere, or that some file system takes for
// git's own folder.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return fmt.Errorf("a tree with the name %q", name)
	}
	for part := range strings.SplitSeq(name, `\`) {
		if isDotGit(part) {
			return fmt.Errorf("a tree with the name %q", name)
		}
	}
	return nil
}

// plain is a name as HFS+ and NTFS understand it.
func plain(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		default:
			b.WriteRune(r)
		}
	}
	s, _, _ := strings.Cut(strings.ToLower(b.String()), ":")
	return strings.TrimRight(s, " .")
}

func isDotGit(name string) bool {
	p := plain(name)
	return p == ".git" || p == "git~1"
}

// isDot says whether a file system takes name for .NAME; short begins the name that
// NTFS makes of it.
func isDot(name, of, short string) bool {
	p := plain(name)
	return p == "."+of || strings.HasPrefix(p, of[:6]+"~") || strings.HasPrefix(p, short) && strings.Contains(p, "~")
}

// A commit is what is needed of one.
type commit struct {
	tree    string
	parents []string
	time    int64
}

var identLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[^<>\x00]* ?<[^<>\x00]*> (0|[1-9][0-9]{0,17}) [+-][0-9]{4}$`)
})

const maxParents = 64

// parseCommit reads a commit as strictly as git's own check.
func parseCommit(b []byte, hash int) (*commit, error) {
	c := &commit{}
	head, _, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		head = bytes.TrimSuffix(b, []byte("\n"))
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, errors.New("a commit with a NUL byte")
	}
	lines := strings.Split(string(head), "\n")
	next := func(key string) (string, bool) {
		if len(lines) == 0 {
			return "", false
		}
		v, ok := strings.CutPrefix(lines[0], key+" ")
		if !ok {
			return "", false
		}
		lines = lines[1:]
		return v, true
	}
	id := func(v string) (string, error) {
		raw, err := hex.DecodeString(v)
		if err != nil || len(raw) != hash || v != strings.ToLower(v) {
			return "", errors.New("a commit with a damaged name in it")
		}
		return string(raw), nil
	}
	v, _ := next("tree")
	var err error
	if c.tree, err = id(v); err != nil {
		return nil, err
	}
	for v, ok := next("parent"); ok; v, ok = next("parent") {
		p, err := id(v)
		if err != nil || len(c.parents) >= maxParents {
			return nil, errors.Join(err, errors.New("a commit with damaged parents"))
		}
		c.parents = append(c.parents, p)
	}
	author, _ := next("author")
	committer, _ := next("committer")
	if !identLine().MatchString(author) || !identLine().MatchString(committer) {
		return nil, errors.New("a commit with a damaged author or committer")
	}
	f := strings.Fields(committer)
	_, _ = fmt.Sscan(f[len(f)-2], &c.time)
	return c, nil
}

// maxModules bounds a .gitmodules that is looked at.
const maxModules = 1 << 20

// checkModules refuses a .gitmodules that has git run or write something else.
func checkModules(b []byte) error {
	fail := func(what string) error { return errors.New("a .gitmodules with " + what) }
	if len(b) > maxModules || !utf8.Valid(b) {
		return fail("too much in it")
	}
	for _, o := range rules.Settings(string(b)) {
		if o.Section != "submodule" {
			continue
		}
		if slices.Contains(strings.FieldsFunc(o.Sub, func(r rune) bool { return r == '/' || r == '\\' }), "..") {
			return fail("a name that leads elsewhere")
		}
		switch v := strings.TrimSpace(o.Value); {
		case o.Name == "url" && (strings.HasPrefix(v, "-") || strings.ContainsAny(v, "\n\r")),
			o.Name == "path" && strings.HasPrefix(v, "-"),
			o.Name == "update" && strings.HasPrefix(v, "!"):
			return fail("a command for its " + o.Name)
		}
	}
	return nil
}
