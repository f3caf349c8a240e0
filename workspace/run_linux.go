package workspace

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/before"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// A run is what one run changed on the host by itself, in every tree.
type run struct {
	name  string
	last  time.Time // of the newest log: nothing that is much newer is the run's
	trees []ranIn
	live  bool // of mode live; else of mode review, with patterns of what passes
	cut   bool // there was more than is written down
	// untouched says that nothing of ours has changed the host since.
	untouched bool
}

type ranIn struct {
	source string
	dir    string // of the images
	log    before.Log
	last   time.Time
	strict bool // what has changed later than that, in any way, is not the run's
}

// runs finds what undo can take back of runs, the oldest first.
func (p Project) runs() ([]run, error) {
	store, err := shadow.Open(p.Shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sources, err := store.Sources()
	if err != nil {
		return nil, err
	}
	var out []run
	for _, s := range sources {
		parent := filepath.Join(p.Shadow, "views", shadow.Key(s), "before")
		ents, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range ents {
			in, err := readRun(s, filepath.Join(parent, e.Name()))
			if err != nil {
				return nil, err
			}
			if !in.last.IsZero() { // else it has changed nothing
				out = addRun(out, e.Name(), in)
			}
		}
	}
	// By their ends: one that was started ahead is older than it looks.
	slices.SortFunc(out, func(a, b run) int { return cmp.Or(a.last.Compare(b.last), strings.Compare(a.name, b.name)) })
	if n := len(out); n > 0 {
		out[n-1].untouched = !p.turnedSince(out[n-1].last)
	}
	return out, nil
}

// turnedSince says whether an apply or undo may have changed the host since then.
func (p Project) turnedSince(at time.Time) bool {
	st, err := os.Stat(p.journalDir(turned))
	_, applied := p.finished()
	return err == nil && st.ModTime().After(at) || applied.After(at)
}

// turned is the file beside the journals that is as old as the last undo.
const turned = "turned"

func (p Project) noteTurn() error {
	if err := os.MkdirAll(filepath.Dir(p.journalDir(turned)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(p.journalDir(turned), nil, 0o600)
}

func readRun(source, dir string) (ranIn, error) {
	in := ranIn{source: source, dir: dir}
	name := filepath.Join(dir, "log")
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil // killed before the first place
	}
	if err != nil {
		return in, err
	}
	in.last = st.ModTime()
	data, err := os.ReadFile(name)
	if err == nil {
		in.log, err = before.Parse(data)
	}
	if err != nil {
		return in, fmt.Errorf("read what a run changed: %w", err)
	}
	return in, nil
}

func addRun(list []run, name string, in ranIn) []run {
	i := slices.IndexFunc(list, func(r run) bool { return r.name == name })
	if i < 0 {
		i = len(list)
		list = append(list, run{name: name})
	}
	r := &list[i]
	r.trees = append(r.trees, in)
	r.cut = r.cut || in.log.Full
	r.live = r.live || in.log.Mode != string(belljar.ModeReview)
	if in.last.After(r.last) {
		r.last = in.last
	}
	return list
}

// A ranAt is one place that a run changed, as undo sees it.
type ranAt struct {
	before.Place
	source, dir string
	step        step
	lost        string // why it cannot be taken back; empty: it can
}

// places are those of the run at which the host is not what it was before, with the
// steps that the run took there.
func (p Project) places(r run) ([]ranAt, error) {
	var out []ranAt
	for _, in := range r.trees {
		var here []ranAt
		in.strict = r.untouched
		host, err := unix.Open(in.source, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue // the tree is gone
		}
		t := &tree{host: host}
		for _, pl := range in.log.Places {
			at, err := t.ran(in, pl)
			if err != nil {
				_ = unix.Close(host)
				return nil, err
			}
			if at != nil {
				here = append(here, *at)
			}
		}
		_ = unix.Close(host)
		keepOnly(here)
		out = append(out, withParents(in, here)...)
	}
	return out, nil
}

// withParents makes the folders stay, or come back, that the run made and in which
// something comes back that the user had put there.
func withParents(in ranIn, list []ranAt) []ranAt {
	made := map[string]bool{}
	for _, pl := range in.log.Places {
		if pl.Was == nil {
			made[pl.Path] = true
		}
	}
	needed := map[string]bool{}
	for _, a := range list {
		for dir, _ := splitRel(a.Path); a.step.Before != nil && made[dir] && !needed[dir]; dir, _ = splitRel(dir) {
			needed[dir] = true
		}
	}
	if len(needed) == 0 {
		return list
	}
	out := make([]ranAt, 0, len(list))
	for _, a := range list {
		if !needed[a.Path] {
			out = append(out, a)
			continue
		}
		delete(needed, a.Path)
		if f := a.step.After; f == nil || f.kind() != KindDir {
			out = append(out, a) // in the way
		}
	}
	for dir := range needed { // nothing is there
		b := shadow.Base{Mode: unix.S_IFDIR | 0o755}
		a := ranAt{Place: before.Place{Path: dir, Was: &b}, source: in.source, dir: in.dir}
		a.step = step{Source: []byte(in.source), Path: []byte(dir), Before: &state{Base: b}}
		out = append(out, a)
	}
	return out
}

// keepOnly leaves a file alone that the run moved, where nothing was kept of what it
// holds: it is the only one there is.
func keepOnly(list []ranAt) {
	lost := map[uint64]*ranAt{}
	for i, a := range list {
		if a.lost != "" && a.Was != nil && a.step.After == nil && kindOf(a.Was.Mode) == KindFile {
			lost[a.Was.Ino] = &list[i]
		}
	}
	for i, a := range list {
		if f := a.step.After; a.Was == nil && f != nil && f.kind() == KindFile && lost[f.Ino] != nil {
			list[i].lost = "it holds what was " + quote(lost[f.Ino].Path) + ", and is left where it is"
		}
	}
}

// unknown is a state that the host never has: what is there is not the run's.
var unknown = state{Base: shadow.Base{Mode: unix.S_IFREG, Size: -1, MTime: -1}}

func (s *state) unknown() bool { return s != nil && s.Size == unknown.Size }

// clockStep is by how much the clock of file systems may be behind.
const clockStep = 20 * time.Millisecond

// slack is by how much the time of a log may be behind what the run did.
const slack = 1500 * time.Millisecond

// ran compares the place with what the host has there now; nil when that is what was
// there before the run.
func (t *tree) ran(in ranIn, pl before.Place) (*ranAt, error) {
	at := &ranAt{Place: pl, source: in.source, dir: in.dir, lost: pl.Lost}
	now, err := t.stat(pl.Path)
	if err != nil && err != unix.ENOENT {
		return nil, err
	}
	var is *shadow.Base
	if err == nil {
		is = shadow.StatBase(&now)
	}
	if same, err := at.asBefore(t, is); same || err != nil {
		return nil, err
	}
	at.step = step{Source: []byte(in.source), Path: []byte(pl.Path), Hidden: pl.Hidden}
	if pl.Was != nil {
		b := *pl.Was
		at.step.Before = &state{Base: b}
		switch kindOf(b.Mode) {
		case KindSymlink:
			at.step.Before.Target = pl.Text
		case KindFile:
			at.step.Before.Blob = "0" // for now: see bringImages
		}
	}
	if !in.ours(pl, is, &now) {
		u := unknown
		at.step.After = &u
		return at, nil
	}
	if is != nil {
		s, err := t.now(pl.Path)
		if err != nil {
			at.lost = err.Error()
			return at, nil
		}
		at.step.After = s
	}
	return at, nil
}

// asBefore says whether the place is what it was. A program inside can set the time of
// a file that it has written to: the content decides.
func (a *ranAt) asBefore(t *tree, is *shadow.Base) (bool, error) {
	was := a.Was
	if was == nil || is == nil {
		return was == nil && is == nil, nil
	}
	switch {
	case was.Mode != is.Mode:
		return false, nil
	case kindOf(is.Mode) == KindDir:
		return true, nil
	case was.Size != is.Size || a.lost != "":
		return false, nil
	}
	now, err := t.now(a.Path)
	if err != nil || now == nil {
		return false, err
	}
	if now.kind() != KindFile {
		return bytes.Equal(now.Target, a.Text), nil
	}
	sum, attrs, err := a.sums()
	return sum == now.Sum && attrs == now.Attrs, err
}

// sums are those of the content that was kept, as of a file of the host.
func (a *ranAt) sums() (sum, attrs string, err error) {
	if a.Blob == "" {
		s := sha256.Sum256(a.Text)
		return hex.EncodeToString(s[:]), "-", nil
	}
	d, err := unix.Open(a.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = unix.Close(d) }()
	b, err := shadow.HostBase(d, a.Blob)
	if err != nil {
		return "", "", err
	}
	return b.Sum, b.Attrs, nil
}

// ours says whether what the host has is what the run left.
func (in ranIn) ours(pl before.Place, is *shadow.Base, now *unix.Stat_t) bool {
	changed := now.Ctim.Nano()
	switch {
	case pl.Host && is != nil:
		return false
	case !pl.Said:
		return is == nil || changed <= in.last.Add(slack).UnixNano()
	case pl.Left == nil || is == nil:
		return pl.Left == nil && is == nil
	case kindOf(is.Mode) == KindDir:
		return kindOf(pl.Left.Mode) == KindDir && pl.Left.Mode == is.Mode
	}
	// Who saves a file can set its time back, but not when that was. Another name of it,
	// as some backups make, is no edit.
	if in.strict && kindOf(is.Mode) == KindFile && now.Nlink == 1 && changed > in.last.Add(clockStep).UnixNano() {
		return false
	}
	// Not the inode: a later run that was taken back brought the file, not the inode.
	return pl.Left.Mode == is.Mode && pl.Left.Size == is.Size && (pl.Left.MTime == is.MTime || kindOf(is.Mode) == KindSymlink && pl.Left.Ino == is.Ino)
}

// order puts the steps of a run into an order in which they could have been taken one
// by one: removals from below, then what is new from above, then changes.
func order(places []ranAt) []ranAt {
	var gone, made, changed []ranAt
	for _, a := range places {
		b, f := a.step.Before, a.step.After
		switch {
		case b == nil:
			made = append(made, a)
		case f == nil:
			gone = append(gone, a)
		case !f.unknown() && (b.kind() == KindDir) != (f.kind() == KindDir):
			one, two := a, a
			one.step.After, two.step.Before = nil, nil
			gone, made = append(gone, one), append(made, two)
		default:
			changed = append(changed, a)
		}
	}
	slices.SortStableFunc(gone, func(a, b ranAt) int { return strings.Compare(b.Path, a.Path) })
	slices.SortStableFunc(made, func(a, b ranAt) int { return strings.Compare(a.Path, b.Path) })
	return slices.Concat(gone, made, changed)
}

// adopt makes the run the journal "back", which is then taken back.
func (p Project) adopt(name string, places []ranAt, paths []string) (err error) {
	dir := p.journalDir("run")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data := []byte(journalHead)
	n := 0
	for _, a := range order(places) {
		if b := a.step.Before; b != nil && b.kind() == KindFile {
			copied := *b
			copied.Blob = fmt.Sprintf("%x", n)
			if copied.Sum, copied.Attrs, err = a.sums(); err != nil {
				return err
			}
			a.step.Before = &copied
			n++
			if err := a.image(filepath.Join(dir, copied.Blob)); err != nil {
				return err
			}
		}
		data = append(data, a.step.encode()...)
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), data, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ofRun), []byte(name), 0o600); err != nil {
		return err
	}
	if err := p.choosePart(dir, paths); err != nil {
		return err
	}
	return os.Rename(dir, p.journalDir("back"))
}

// undoRun takes a run back. What cannot be is told first, and forgotten with it.
func (p Project) undoRun(ctx context.Context, r run, paths []string) ([]Outcome, error) {
	places, err := p.places(r)
	if err != nil {
		return nil, undoError(p, err)
	}
	var out []Outcome
	kept := places[:0]
	for _, a := range places {
		if a.lost == "" {
			kept = append(kept, a)
			continue
		}
		why := terminal.Escape(a.lost)
		if a.Was != nil {
			why = "its former content was not kept: " + why
		}
		out = append(out, Outcome{Change: a.change(p), Status: Failed, Why: why})
	}
	if len(kept) > 0 {
		if err := p.adopt(r.name, kept, paths); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(p.noteTurn(), r.forget()); err != nil {
		return out, undoError(p, err)
	}
	if len(kept) == 0 {
		return out, nil
	}
	more, err := p.takeBack(ctx)
	return append(out, more...), err
}

// partOfUndo is the file of a journal that names the paths that are to be taken back.
const partOfUndo = "only"

// choosePart notes which paths of the journal in dir are to be taken back, all without.
// It is fs.ErrNotExist when there is no such journal.
func (p Project) choosePart(dir string, paths []string) error {
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	name := filepath.Join(dir, partOfUndo)
	if len(paths) == 0 {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	steps, err := parseLog(data)
	if err != nil {
		return undoError(p, err)
	}
	for _, arg := range paths {
		if !slices.ContainsFunc(steps, func(s step) bool { return p.selects(arg, s.place(p)) }) {
			return &belljar.Error{
				Op: "undo", ID: quote(arg), Kind: belljar.KindUsage, Err: errors.New("nothing that can be taken back lies there"),
				Hint: "without a path, belljar undo takes all of it back",
			}
		}
	}
	b, err := json.Marshal(paths)
	if err != nil {
		return undoError(p, err)
	}
	return os.WriteFile(name, b, 0o600)
}

func (s step) place(p Project) Change {
	return Change{Source: string(s.Source), Path: string(s.Path), inProject: string(s.Source) == p.Dir}
}

// part reads what [Project.choosePart] wrote: nil for all.
func (p Project) part(dir string) (func(step) bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, partOfUndo))
	if errors.Is(err, fs.ErrNotExist) {
		return func(step) bool { return true }, nil
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	if err := json.Unmarshal(b, &paths); err != nil {
		return nil, err
	}
	return func(s step) bool {
		c := s.place(p)
		return slices.ContainsFunc(paths, func(arg string) bool {
			// A folder that was removed has to be there before what was in it.
			return p.selects(arg, c) || s.After == nil && s.Before.kind() == KindDir && strings.HasPrefix(path.Clean(arg), string(s.Path)+"/")
		})
	}, nil
}

// image puts the content that the place had into a new file.
func (a *ranAt) image(name string) error {
	if a.Blob != "" {
		if err := os.Link(filepath.Join(a.dir, a.Blob), name); err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return copyImage(filepath.Join(a.dir, a.Blob), name)
	}
	if err := os.WriteFile(name, a.Text, 0o600); err != nil {
		return err
	}
	at := time.Unix(0, a.Was.MTime)
	return os.Chtimes(name, at, at)
}

func copyImage(from, to string) error {
	d, err := unix.Open(filepath.Dir(from), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	e, err := unix.Open(filepath.Dir(to), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(e) }()
	return keepFile(d, path.Base(from), e, path.Base(to))
}

// forget removes the images of a run: its journal has what is left of it.
func (r run) forget() error {
	var errs []error
	for _, in := range r.trees {
		errs = append(errs, os.RemoveAll(in.dir))
	}
	return errors.Join(errs...)
}

// forgetTaken forgets the run that became the journal "back" before a kill.
func (p Project) forgetTaken() error {
	name, err := os.ReadFile(filepath.Join(p.journalDir("back"), ofRun))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	all, e := p.runs()
	if err = errors.Join(err, e); err != nil {
		return err
	}
	for _, r := range all {
		if r.name == string(name) {
			return r.forget()
		}
	}
	return nil
}

// change is the place for people.
func (a *ranAt) change(p Project) Change {
	c := Change{Source: a.source, Path: a.Path, inProject: a.source == p.Dir, Op: OpModify}
	switch b, f := a.step.Before, a.step.After; {
	case b == nil:
		c.Op = OpAdd
		c.Kind, c.Size, c.Perm, c.Target = f.kind(), f.Size, f.Mode&0o777, string(f.Target)
	case f == nil:
		c.Op, c.Kind = OpDelete, b.kind()
	default:
		c.Kind, c.Size, c.Perm = f.kind(), f.Size, f.Mode&0o777
		if b.kind() == f.kind() && b.kind() == KindDir || b.Size == f.Size && b.MTime == f.MTime {
			c.Op = OpMode
		}
	}
	if f := a.step.After; f.unknown() {
		c.Size, c.Conflict = 0, "the host has changed it since"
	}
	return c
}

// LastRun says what the newest run changed on the host by itself; nil without one.
func (p Project) LastRun() (*Run, error) {
	for range 3 {
		if r, err := p.lastRun(); !errors.Is(err, fs.ErrNotExist) {
			return r, err
		} // an undo beside it removes what it took back: there is another last run now
	}
	return p.lastRun()
}

func (p Project) lastRun() (*Run, error) {
	all, err := p.runs()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	r := all[len(all)-1]
	places, err := p.places(r)
	if err != nil {
		return nil, err
	}
	next, err := p.newest()
	if err != nil {
		return nil, err
	}
	out := &Run{Live: r.live, Next: next != nil, Cut: r.cut}
	for _, a := range places {
		c := a.change(p)
		if a.lost != "" {
			c.Conflict = a.lost
			out.Lost = append(out.Lost, c)
			continue
		}
		out.Changes = append(out.Changes, c)
	}
	return out, nil
}

// newest is the newest run, where it ended after the last apply and the last undo that left something.
func (p Project) newest() (*run, error) {
	all, err := p.runs()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	r := &all[len(all)-1]
	if name, at := p.finished(); name != "" && at.After(r.last) {
		return nil, nil
	}
	return r, nil
}
