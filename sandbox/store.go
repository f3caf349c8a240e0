package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// Dirs are belljar's own folders of one user.
type Dirs struct {
	State   string // records, homes, shadows, trust: survives
	Runtime string // scratch of running sandboxes, sockets: gone with them
	Config  string // the user's policy; may not exist
}

// FindDirs names the folders for a caller (XDG base directory specification) and
// makes State and Runtime: private, owned by us, or an error.
func FindDirs(env func(string) string, home string) (Dirs, error) {
	xdg := func(name, fallback string) string {
		if v := env(name); filepath.IsAbs(v) {
			return filepath.Join(v, "belljar")
		}
		return filepath.Join(home, fallback, "belljar")
	}
	d := Dirs{State: xdg("XDG_STATE_HOME", ".local/state"), Config: xdg("XDG_CONFIG_HOME", ".config")}
	if v := env("XDG_RUNTIME_DIR"); filepath.IsAbs(v) && ownedByUs(v) == nil {
		d.Runtime = filepath.Join(v, "belljar")
	} else {
		d.Runtime = fmt.Sprintf("/tmp/belljar-%d", os.Getuid())
	}
	return d, d.Make()
}

// Make makes State and Runtime, or says why they cannot be trusted.
func (d Dirs) Make() error {
	for _, p := range []string{d.State, d.Runtime} {
		err := os.MkdirAll(p, 0o700)
		if err == nil {
			err = private(p)
		}
		if err != nil {
			return &belljar.Error{Op: "prepare", ID: p, Kind: belljar.KindNotHere, Err: err, Hint: "it must be a folder of yours with mode 0700: chmod 700 " + p + ", or remove it"}
		}
	}
	return nil
}

// private says why path is not a folder of ours alone.
func private(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return errors.New("it is no folder")
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others may enter it (mode %04o)", fi.Mode().Perm())
	}
	return ownedByUs(path)
}

// Folders of one sandbox.
func (d Dirs) sandbox(id string) string { return filepath.Join(d.State, "sandboxes", id) }

// An Entry is what the store knows of a sandbox while it runs.
type Entry struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	PID       int       `json:"pid"` // of the supervisor
	Started   time.Time `json:"started"`
	Tier      string    `json:"tier"`
	Workspace string    `json:"workspace"`
	Argv      []string  `json:"argv"`
	Scratch   string    `json:"scratch"`        // backend's folder, removed at the end
	Home      string    `json:"home,omitempty"` // private HOME to be discarded at the end; empty when it is kept
	Detached  bool      `json:"detached,omitempty"`
	Warm      string    `json:"warm,omitempty"` // what it can be taken by; empty once it was taken, and for all others
	Taken     time.Time `json:"taken,omitzero"`
}

// written is run.json.
type written struct {
	Entry
	// Reported says that the run's end is known: only what it left is still here,
	// because it could not be removed.
	Reported bool `json:"reported,omitempty"`
}

const (
	runFile  = "run.json"
	lockName = "lock"
)

// A claim is a run's place in the store. The lock lives as long as the supervisor:
// the kernel drops it whatever kills us.
type claim struct {
	dirs  Dirs
	entry Entry
	dir   string
	lock  *os.File
}

// claimRun writes r down before anything is started, unless r has a HOME that is
// kept and a run of its name has it. After an error nothing of the claim is left.
func (d Dirs) claimRun(r Entry) (_ *claim, err error) {
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	if r.Home == "" {
		// Two runs cannot share one HOME; those that are thrown away are not shared.
		if other, runs, _ := d.named(r.Workspace, r.Name); runs {
			return nil, &belljar.Error{Op: "start sandbox", ID: r.Name, Kind: belljar.KindConflict, Err: fmt.Errorf("it runs already (process %d)", other.PID)}
		}
	}
	dir := d.sandbox(r.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, short("make", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, forget(dir))
		}
	}()
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	if err := writeRun(dir, written{Entry: r}); err != nil {
		lock.Close()
		return nil, err
	}
	return &claim{dirs: d, entry: r, dir: dir, lock: lock}, nil
}

// guard keeps a sweep from meeting a run between its folder and its lock.
func (d Dirs) guard() (*os.File, error) {
	dir := filepath.Join(d.State, "sandboxes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, short("make", dir, err)
	}
	return waitLock(filepath.Join(d.State, "sandboxes.lock"))
}

// release forgets the run and gives back its folder. While its scratch or its HOME
// cannot be removed the run stays written down, as one that ended: the next sweep
// tries again.
func (c *claim) release() error {
	guard, err := c.dirs.guard()
	if err == nil {
		defer guard.Close()
	}
	if rerr := c.dirs.remove(c.entry, c.dir); rerr != nil {
		err = errors.Join(err, rerr, noteReported(c.dir, written{Entry: c.entry}))
	}
	return errors.Join(err, c.lock.Close())
}

// Runs lists the sandboxes that run now, oldest first.
func (d Dirs) Runs() ([]Entry, error) {
	// Without the guard a sandbox that is being swept would seem to run.
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	return d.running()
}

// running is [Dirs.Runs] for those who hold the guard.
func (d Dirs) running() ([]Entry, error) {
	var out []Entry
	err := d.each(func(dir string) error {
		runs, err := held(filepath.Join(dir, lockName))
		if err != nil || !runs {
			return err
		}
		r, err := readRun(dir)
		if err == nil {
			out = append(out, r.Entry)
		}
		return err
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Started.Before(out[j].Started) })
	return out, err
}

// NameInUse finds the running sandbox of that name in that workspace. A sandbox that
// it finds runs, whatever the error says about others.
func (d Dirs) NameInUse(workspace, name string) (Entry, bool, error) {
	guard, err := d.guard()
	if err != nil {
		return Entry{}, false, err
	}
	defer guard.Close()
	return d.named(workspace, name)
}

// named is [Dirs.NameInUse] for those who hold the guard.
func (d Dirs) named(workspace, name string) (Entry, bool, error) {
	runs, err := d.running()
	for _, r := range runs {
		if r.Name == name && r.Workspace == workspace {
			return r, true, err
		}
	}
	return Entry{}, false, err
}

// Sweep removes what was discarded, and what sandboxes left behind whose supervisor was killed, and says
// which ones, each once: their record has no end and their files may wait in the
// shadow. One that died before it was written down is removed and not told of. What
// cannot be removed is in the error, does not keep the rest, and is tried again by
// the next sweep; the list is good whatever the error.
func (d Dirs) Sweep() ([]Entry, error) {
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	var dead []Entry
	err = d.each(func(dir string) error {
		lock, err := lockFile(filepath.Join(dir, lockName))
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil // it runs
		}
		if err != nil {
			return err
		}
		defer lock.Close()
		r, err := readRun(dir)
		if err != nil {
			// Its HOME is in dir; its scratch has the name of dir.
			return d.remove(Entry{Scratch: filepath.Join(d.Runtime, filepath.Base(dir))}, dir)
		}
		err = d.remove(r.Entry, dir)
		if !r.Reported {
			dead = append(dead, r.Entry)
			if err != nil {
				err = errors.Join(err, noteReported(dir, r))
			}
		}
		return err
	})
	return dead, errors.Join(err, d.emptyTrash())
}

// remove removes everything of r, whose folder is dir. The folder stays while there
// is anything else.
func (d Dirs) remove(r Entry, dir string) error {
	if err := d.removeLeftovers(r); err != nil {
		return err
	}
	return forget(dir)
}

// removeLeftovers removes the scratch folder and the discarded HOME of r, which
// must lie in our own folders whatever the file says.
func (d Dirs) removeLeftovers(r Entry) error {
	var errs []error
	for _, p := range []string{r.Scratch, r.Home} {
		for _, top := range []string{d.Runtime, d.State} {
			if p != "" && below(p, top) {
				rel, err := filepath.Rel(top, filepath.Clean(p))
				errs = append(errs, err, removeBelow(top, rel))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// forget removes a sandbox's folder, last what the next sweep needs to know it by.
func forget(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return short("read", dir, err)
	}
	var errs []error
	for _, n := range names {
		if n.Name() != runFile && n.Name() != lockName {
			errs = append(errs, removeTree(filepath.Join(dir, n.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, n := range []string{runFile, lockName} {
		if err := os.Remove(filepath.Join(dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return short("remove", filepath.Join(dir, n), err)
		}
	}
	if err := os.Remove(dir); err != nil {
		return short("remove", dir, err)
	}
	return nil
}

// noteReported notes that the end of r is known, where its folder is still there.
func noteReported(dir string, r written) error {
	if _, err := os.Lstat(filepath.Join(dir, runFile)); errors.Is(err, os.ErrNotExist) {
		return nil // a folder without it is not told of anyway
	}
	r.Reported = true
	return writeRun(dir, r)
}

func writeRun(dir string, r written) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p := filepath.Join(dir, runFile)
	if err := writeFile(p, b); err != nil {
		return short("write", p, err)
	}
	return nil
}

func readRun(dir string) (written, error) {
	var r written
	p := filepath.Join(dir, runFile)
	b, err := os.ReadFile(p)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return written{}, short("read", p, err)
	}
	return r, nil
}

// each calls f for every sandbox folder of the store, whatever it says of others.
func (d Dirs) each(f func(dir string) error) error {
	dir := filepath.Join(d.State, "sandboxes")
	names, err := os.ReadDir(dir)
	if err != nil {
		return short("read", dir, err)
	}
	var errs []error
	for _, n := range names {
		if n.IsDir() {
			errs = append(errs, f(filepath.Join(dir, n.Name())))
		}
	}
	return errors.Join(errs...)
}

func below(p, dir string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(p))
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// writeFile replaces path whole or not at all.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	err := os.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // half of it may be there, on a full disk
	}
	return err
}
