package workspace

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar/workspace/lockfile"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A Risk is a reason to look at a change first, beside what its name says.
type Risk struct {
	Kind   RiskKind `json:"kind"`
	Reason string   `json:"reason"` // may hold bytes from inside
}

// RiskKind says what a risk is about.
type RiskKind string

// The kinds of risks.
const (
	RiskLockFile   RiskKind = "lock-file"  // packages come from elsewhere than before
	RiskExecutable RiskKind = "executable" // it can be executed, and could not before
	RiskLink       RiskKind = "link"       // a symbolic link that leads out of the project
	RiskUnicode    RiskKind = "unicode"    // characters that are not seen, or reorder what is
)

// maxLock is the largest lock file that is read.
const maxLock = 32 << 20

// risks looks at one change.
func risks(c Change, before, after side) []Risk {
	var out []Risk
	add := func(k RiskKind, why string) { out = append(out, Risk{k, why}) }
	if c.Kind == KindSymlink && c.Op != OpDelete {
		if dir, _ := splitName(c.Path); rules.LinkLeaves(dir, c.Target) {
			add(RiskLink, "the link leads out of the project")
		}
	}
	if u := unseen(c.Path); u != "" && c.Op != OpDelete {
		add(RiskUnicode, "its name holds "+u)
	}
	if c.Kind != KindFile || c.Op == OpDelete {
		return out
	}
	if after.perm&0o111 != 0 && before.perm&0o111 == 0 {
		why := "it was made executable"
		if !before.exists {
			why = "a new executable"
		}
		add(RiskExecutable, why)
	}
	if lockfile.Known(c.Path) {
		for _, why := range lockRisks(c.Path, before, after) {
			add(RiskLockFile, why)
		}
	}
	if why := newUnseen(before, after); why != "" {
		add(RiskUnicode, why)
	}
	return out
}

// lockRisks says what to look at in a lock file. One that is not read is a risk.
func lockRisks(rel string, before, after side) []string {
	switch {
	case after.unread != "":
		return []string{after.unread}
	case after.size > maxLock:
		return []string{"it is too large to be looked at"}
	case before.unread != "", before.size > maxLock:
		return []string{"the old file is too large or cannot be read: where packages came from is not known"}
	}
	was, _ := lockfile.Parse(rel, before.data)
	now, _ := lockfile.Parse(rel, after.data)
	return append(lockfile.Doubts(rel, after.data), lockfile.Compare(was, now)...)
}

func splitName(rel string) (dir, name string) {
	i := strings.LastIndexByte(rel, '/')
	return rel[:max(i, 0)], rel[i+1:]
}

// newUnseen tells of lines that hold what is not seen, and that the old side has not.
func newUnseen(before, after side) string {
	if after.unread != "" || len(after.data) > maxShown || binary(after.data) {
		return ""
	}
	old := map[string]bool{}
	for _, l := range lines(before) {
		if !ascii(l) {
			old[l] = true
		}
	}
	first, n := "", 0
	for i, l := range lines(after) {
		if i == 0 {
			l = strings.TrimPrefix(l, "\ufeff")
		}
		if ascii(l) || old[l] {
			continue
		}
		if u := unseen(l); u != "" {
			if n++; n == 1 {
				first = fmt.Sprintf("line %d holds %s", i+1, u)
			}
		}
	}
	if n > 1 {
		return fmt.Sprintf("%s; %d lines like it", first, n)
	}
	return first
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unseen names the first character of s that reorders text or is not seen, "" without
// one. What joins emoji is none.
func unseen(s string) string {
	prev := rune(0)
	for _, r := range s {
		switch {
		case bidi(r):
			return fmt.Sprintf("U+%04X, which changes the order in which text is shown", r)
		case r == '\u200d' && prev >= 0x2190, r == '\ufe0e' || r == '\ufe0f':
		case invisible(r):
			return fmt.Sprintf("U+%04X, which is not seen", r)
		}
		prev = r
	}
	return ""
}

func bidi(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

func invisible(r rune) bool {
	switch {
	case r >= '\u200b' && r <= '\u200d', r >= '\u2060' && r <= '\u2065', r >= '\u206a' && r <= '\u206f', r >= '\ufe00' && r <= '\ufe0f',
		r >= 0xe0000 && r <= 0xe0fff, r >= '\ufff9' && r <= '\ufffb':
		return true
	}
	return slices.Contains([]rune{'\u00ad', '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u180e', '\u3164', '\ufeff', '\uffa0'}, r)
}

// byRisk orders changes for reading: what runs by itself, then what has a risk, then
// as [Project.Pending] does.
func byRisk(cs []Change) {
	first := func(c Change) int {
		switch {
		case c.Class.Runs():
			return 0
		case len(c.Risks) > 0:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(cs, func(a, b Change) int { return first(a) - first(b) })
}

// Bounds of the search for renames.
const (
	maxRenames = 200
	maxSimilar = 1 << 20 // bytes of a file
)

// A version is one side of a file that was removed or added.
type version struct {
	i    int // in the changes
	data []byte
}

// renames pairs removed with added files that hold the same, or most of it.
func renames(cs []Change, gone, added []version) {
	pair := func(g, a *version) {
		cs[a.i].From, cs[g.i].To = cs[g.i].Path, cs[a.i].Path
		g.i, a.i = -1, -1
	}
	free := func(v version) bool { return v.i >= 0 && len(v.data) > 0 }
	same := map[string][]int{}
	for i, g := range gone {
		same[string(g.data)] = append(same[string(g.data)], i)
	}
	for i := range added {
		for _, j := range same[string(added[i].data)] {
			if free(gone[j]) && free(added[i]) && cs[gone[j].i].Source == cs[added[i].i].Source {
				pair(&gone[j], &added[i])
			}
		}
	}
	if len(gone) > maxRenames || len(added) > maxRenames {
		return
	}
	for i := range added {
		best, at := 0.5, -1
		for j := range gone {
			if !free(gone[j]) || !free(added[i]) || cs[gone[j].i].Source != cs[added[i].i].Source {
				continue
			}
			if s := similar(gone[j].data, added[i].data); s > best {
				best, at = s, j
			}
		}
		if at >= 0 {
			pair(&gone[at], &added[i])
		}
	}
}

// similar is the part of two texts' bytes that is in lines that both have.
func similar(a, b []byte) float64 {
	if len(a) > maxSimilar || len(b) > maxSimilar || binary(a) || binary(b) || len(a) > 3*len(b) || len(b) > 3*len(a) {
		return 0
	}
	have := map[string]int{}
	for l := range strings.Lines(string(a)) {
		have[l]++
	}
	both := 0
	for l := range strings.Lines(string(b)) {
		if have[l] > 0 {
			have[l]--
			both += len(l)
		}
	}
	return float64(2*both) / float64(len(a)+len(b))
}
