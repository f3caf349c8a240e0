package workspace

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// eachTree opens every tree of the shadow, the project first.
func (p Project) eachTree(f func(t *tree) error) error {
	store, err := shadow.Open(p.Shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sources, err := store.Sources()
	if err != nil {
		return err
	}
	slices.SortStableFunc(sources, func(a, b string) int {
		return bool2int(b == p.Dir) - bool2int(a == p.Dir)
	})
	for _, s := range sources {
		if nothingIn(store, s) {
			continue // and the rules need not be made
		}
		t, err := p.openTree(store, s)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the tree is gone: there is nothing to apply to
		}
		if err != nil {
			return err
		}
		err = f(t)
		t.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// nothingIn says that the shadow surely has nothing for the tree source.
func nothingIn(store *shadow.Store, source string) bool {
	v, err := store.View(source)
	if err != nil {
		return false
	}
	defer v.Close()
	return v.Walk(func(shadow.Entry) error { return fs.ErrExist }) == nil
}

// alone keeps sandboxes away while op changes what waits: what a program inside has
// open would go on in a copy that is nobody's any more. The error says so.
func (p Project) alone(op string, patience time.Duration) (release func(), err error) {
	store, err := shadow.Open(p.Shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err == nil {
		release, err = store.Alone(patience)
	}
	e := &belljar.Error{Op: op, ID: p.Dir, Kind: belljar.KindInternal, Err: err}
	switch {
	case errors.Is(err, shadow.ErrInUse):
		e.Kind, e.Err, e.Hint = belljar.KindConflict, errors.New("a sandbox runs in this project, or another command changes what waits"), "wait until it has ended; belljar log --list shows what runs"
	case err == nil:
		return release, nil
	}
	return nil, e
}

// tree opens one tree of the shadow.
func (p Project) tree(source string) (*tree, error) {
	store, err := shadow.Open(p.Shadow)
	if err != nil {
		return nil, err
	}
	return p.openTree(store, source)
}

func bool2int(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tree is one tree of the host with what the shadow has for it.
type tree struct {
	view     *shadow.View
	host     int // descriptor of the host's root
	main     bool
	states   map[string]rules.State // by directory; what is not there is judged anew
	found    []Change
	same     []string           // private, and as on the host
	j        *journal           // of an apply
	partOf   func(Change) *part // likewise, where hunks were chosen
	landedAs *state             // the last file that landed
	walk     *walk              // nil but in changes
	batch    *batch             // what was prepared ahead, nil for nothing
	sync     func([]*os.File) []error
	// asRemoved says of folders that the shadow has removed whether the host has them
	// as they were then.
	asRemoved map[string]bool
}

func (p Project) openTree(store *shadow.Store, source string) (*tree, error) {
	host, err := unix.Open(source, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: source, Err: err}
	}
	t := &tree{host: host, main: source == p.Dir, sync: p.sync}
	if t.sync == nil {
		t.sync = syncFiles
	}
	has := func(n string) bool { return t.exists(n) }
	o := rules.Options{Mode: belljar.ModeLive, GitRoot: rules.GitShape(has) && !t.main}
	if t.main {
		o.Hide, o.Hold = p.Hide, p.Hold
	}
	r, err := rules.New(o)
	if err == nil {
		t.states = map[string]rules.State{"": r.Root().Shape(has)}
		t.view, err = store.View(source)
	}
	if err != nil {
		_ = unix.Close(host)
		return nil, err
	}
	return t, nil
}

func (t *tree) close() {
	_ = unix.Close(t.host)
	_ = t.view.Close()
}
