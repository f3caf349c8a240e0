package sandbox

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/plan"
)

// A Recipe is what a kept sandbox is started from again: the words of the user who kept it.
// It is written by belljar before the sandbox starts and lies where nothing inside can see
// it. What the words mean is decided anew at each start.
type Recipe struct {
	Name      string   `json:"name"`
	Workspace string   `json:"workspace"`
	Dir       string   `json:"dir"`   // where the user stood: relative paths and the command's folder are from there
	Flags     []string `json:"flags"` // of run, each whole
	Argv      []string `json:"argv"`
	// Policy is the merged policy of the last start as a policy file, to tell what has become wider.
	Policy string `json:"policy"`
	// PolicyHash is of the file of --policy at that time; empty: there was none.
	PolicyHash string `json:"policy_hash,omitempty"`

	Made time.Time `json:"made"`
	ID   string    `json:"id"` // of the last run

	// Again says that it is to be there already: a start. It is not kept.
	Again bool `json:"-"`
}

// recipeDir holds the recipes, by project.
const recipeDir = "kept"

func (d Dirs) recipePath(project, name string) string {
	return filepath.Join(d.State, recipeDir, project, name+".json")
}

// ProjectKey is the name of a workspace's project in the state folder.
func ProjectKey(workspace string) string { return filepath.Base(plan.ProjectDir("/", workspace)) }

// saveRecipe writes r down for good, for a run that has its name: what is there once this
// run exists is not removed beneath it.
func (d Dirs) saveRecipe(r Recipe) error {
	fail := func(err error) error {
		return &belljar.Error{Op: "keep sandbox", ID: r.Name, Err: err, Hint: "is the disk full?"}
	}
	path := d.recipePath(ProjectKey(r.Workspace), r.Name)
	if r.Again {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return &belljar.Error{Op: "start sandbox", ID: r.Name, Kind: belljar.KindNoSuch, Err: errors.New("it was removed meanwhile")}
		}
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = writeDurably(path, b)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// Recipes are the sandboxes that are kept. What cannot be read is in the error.
func (d Dirs) Recipes() ([]Recipe, error) {
	var out []Recipe
	var errs []error
	for _, project := range folders(filepath.Join(d.State, recipeDir)) {
		names, err := filepath.Glob(filepath.Join(d.State, recipeDir, project, "[a-z]*.json"))
		errs = append(errs, err)
		for _, path := range names {
			r, err := readRecipe(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it was removed just now
			}
			if err == nil {
				out = append(out, r)
			}
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// CanStart says that the sandbox of e can be started again.
func (d Dirs) CanStart(e Entry) bool {
	_, err := os.Lstat(d.recipePath(ProjectKey(e.Workspace), e.Name))
	return err == nil
}

func readRecipe(path string) (r Recipe, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && (r.Name+".json" != filepath.Base(path) || ProjectKey(r.Workspace) != filepath.Base(filepath.Dir(path))) {
		err = errors.New("it is of another sandbox")
	}
	if err != nil {
		return Recipe{}, short("read", path, err)
	}
	return r, nil
}

// removeRecipe removes what the sandbox is started from again. Nothing there is no error.
func (d Dirs) removeRecipe(project, name string) error {
	err := os.Remove(d.recipePath(project, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return short("remove", d.recipePath(project, name), err)
	}
	return nil
}

// writeDurably is [writeFile] whose outcome a power failure does not take back.
func writeDurably(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
