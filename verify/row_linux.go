package verify

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/spell"
)

// A phase is one start of a sandbox; rows of the same phase share it.
type phase string

const (
	phaseMain     phase = "main"     // everything that neither needs nor breaks anything of its own
	phaseLimits   phase = "limits"   // low limits that fail the call inside
	phaseMalloc   phase = "malloc"   // each ends the sandbox
	phaseMemfd    phase = "memfd"    //
	phaseTmpfs    phase = "tmpfs"    //
	phaseTime     phase = "time"     //
	phaseReview   phase = "review"   // mode review; runs alone
	phaseTerminal phase = "terminal" // with a terminal
	phaseRules    phase = "rules"    // with rules about programs
)

// A row is one attack, or one thing that must work.
type row struct {
	id    string // group/name
	name  string // what it tries, for people
	works bool   // it must work; else it must be stopped
	phase phase
	layer string              // what stops it, where that is the same in every tier
	req   belljar.Requirement // else the capability table says what does

	// How it is done inside, exactly one of them. A script runs in a repository of
	// its own and in Go (see script.go), sh in a shell, do in the attacker itself.
	script string
	sh     string
	do     func(a *attacker) (claim bool, evidence string)
	own    bool           // do runs in a process of its own
	waits  bool           // do waits for something: it runs beside others
	early  func(w *world) // the host does this when the attacker begins the row

	judge judgement
	// excuse says why the control fails on this host for a reason that has nothing to
	// do with the sandbox; "" for none.
	excuse func() string
}

func (r *row) expected() Result {
	if r.works {
		return Works
	}
	return Stopped
}

// group is the part of the ID before the slash.
func (r *row) group() string {
	g, _, _ := strings.Cut(r.id, "/")
	return g
}

// A judgement says how the effect of a row is seen. Exactly one field is set; with
// none the attacker's own claim counts.
type judgement struct {
	secret []string                                  // one of these decoys came out
	hit    bool                                      // a decoy server or process was reached for this row
	marked bool                                      // the payload of this row ran on the host
	host   func(w *world) (effect bool, what string) // what is seen on the host after the attack
	held   func(w *world) (effect bool, what string) // what is seen on the host while the attacker holds
	object string                                    // a descriptor of this kind is open in a process of the host while it holds
	same   string                                    // what came out is what this file of the host says
}

// allRows are all rows in the order of the report.
func allRows() []*row {
	lists := [][]row{
		readRows(), writeRows(), linkRows(), gitRows(), hostRows(), networkRows(), proxyRows(), socketRows(),
		credentialRows(), ruleRows(), processRows(), kernelRows(), secondRows(), confinedRows(), limitRows(), terminalRows(), controlRows(), worksRows(),
	}
	var out []*row
	for _, l := range lists {
		for i := range l {
			if l[i].phase == "" {
				l[i].phase = phaseMain
			}
			out = append(out, &l[i])
		}
	}
	return out
}

// chosen are the rows whose ID or group is in only; all when it is empty.
func chosen(rows []*row, only []string) []*row {
	if len(only) == 0 {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool {
		return !slices.Contains(only, r.id) && !slices.Contains(only, r.group())
	})
}

// checkOnly says which word of only names neither a row nor a group, and what does.
func checkOnly(rows []*row, only []string) error {
	var ids, groups []string
	for _, r := range rows {
		ids = append(ids, r.id)
		if g := r.group(); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, word := range only {
		if slices.Contains(ids, word) || slices.Contains(groups, word) {
			continue
		}
		hint := "groups are: " + strings.Join(groups, ", ")
		near, least := "", 4
		for _, known := range slices.Concat(groups, ids) {
			if d := spell.Distance(word, known, least); d < least {
				near, least = known, d
			}
		}
		if group, _, ok := strings.Cut(word, "/"); near != "" {
			hint = "did you mean " + near + "? " + hint
		} else if ok && slices.Contains(groups, group) {
			mine := slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, group+"/") })
			hint = "its rows are: " + strings.Join(mine, ", ")
		}
		return &belljar.Error{Op: "choose rows", ID: word, Kind: belljar.KindUsage, Err: errors.New("no row or group has this name"), Hint: hint}
	}
	return nil
}

func ofPhase(rows []*row, p phase) []*row {
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.phase != p })
}

func findRow(id string) *row {
	for _, r := range allRows() {
		if r.id == id {
			return r
		}
	}
	return nil
}

// sysctlIs excuses a row whose control fails because the host's kernel is set so.
func sysctlIs(path, name string, values ...string) func() string {
	return func() string {
		b, err := os.ReadFile(path)
		v := strings.TrimSpace(string(b))
		if err == nil && slices.Contains(values, v) {
			return "the kernel of this host refuses it to everybody: " + name + " is " + v
		}
		return ""
	}
}

// programMissing excuses a row that needs a program which this host does not have.
func programMissing(name string) func() string {
	return func() string {
		for _, d := range strings.Split(safePath, ":") {
			if fi, err := os.Stat(d + "/" + name); err == nil && fi.Mode()&0o111 != 0 {
				return ""
			}
		}
		return name + " is not installed in " + safePath
	}
}

// safePath is PATH in a world: what lies in the user's own folders is not there.
const safePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
