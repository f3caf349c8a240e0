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
}

// A claim is a run's place in the store. The lock lives as long as the supervisor:
// the kernel drops it whatever kills us.
type claim struct {
	dir  string
	lock *os.File
}

// claimRun writes r down before anything is started.
func (d Dirs) claimRun(r Entry) (*claim, error) {
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	dir := d.sandbox(r.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, "run.json"), b); err != nil {
		lock.Close()
		return nil, err
	}
	return &claim{dir: dir, lock: lock}, nil
}

// guard keeps a sweep from meeting a run between its folder and its lock.
func (d Dirs) guard() (*os.File, error) {
	dir := filepath.Join(d.State, "sandboxes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return waitLock(filepath.Join(d.State, "sandboxes.lock"))
}

// release forgets the run and gives back its folder.
func (c *claim) release() error {
	err := removeTree(c.dir)
	return errors.Join(err, c.lock.Close())
}

// Runs lists the sandboxes that run now, oldest first.
func (d Dirs) Runs() ([]Entry, error) {
	var out []Entry
	err := d.each(func(r Entry, dir string) error {
		if held(filepath.Join(dir, "lock")) {
			out = append(out, r)
		}
		return nil
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Started.Before(out[j].Started) })
	return out, err
}

// Sweep removes what sandboxes left behind whose supervisor was killed and says
// which ones: their record has no end and their files may wait in the shadow.
func (d Dirs) Sweep() ([]Entry, error) {
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	var dead []Entry
	err = d.each(func(r Entry, dir string) error {
		lock, err := lockFile(filepath.Join(dir, "lock"))
		if err != nil {
			return nil // it runs
		}
		defer lock.Close()
		dead = append(dead, r)
		return errors.Join(d.removeLeftovers(r), removeTree(dir))
	})
	return dead, err
}

// removeLeftovers removes the scratch folder and the discarded HOME of r, which
// must lie in our own folders whatever the file says.
func (d Dirs) removeLeftovers(r Entry) error {
	var errs []error
	for _, p := range []string{r.Scratch, r.Home} {
		if p == "" || !below(p, d.Runtime) && !below(p, d.State) {
			continue
		}
		errs = append(errs, removeTree(p))
	}
	return errors.Join(errs...)
}

// each calls f for every sandbox folder of the store. A folder without run.json
// belongs to a run that died before it was written down: it is passed as such.
func (d Dirs) each(f func(Entry, string) error) error {
	dir := filepath.Join(d.State, "sandboxes")
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		p := filepath.Join(dir, n.Name())
		r := Entry{ID: n.Name(), Name: n.Name()}
		if b, err := os.ReadFile(filepath.Join(p, "run.json")); err == nil {
			if err := json.Unmarshal(b, &r); err != nil {
				errs = append(errs, fmt.Errorf("read %q: %w", p, err))
			}
		}
		errs = append(errs, f(r, p))
	}
	return errors.Join(errs...)
}

func below(p, dir string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(p))
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// removeTree removes path whatever modes the sandbox left in it.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, de os.DirEntry, err error) error {
		if de != nil && de.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// writeFile replaces path whole or not at all.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
