package shadow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// A Store is an open shadow. Its methods are safe for concurrent use.
type Store struct {
	dir string
}

// Create opens the shadow in dir and makes it first when it is not there. It
// returns [ErrFormat] when dir holds something else.
func Create(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "views"), 0o700); err != nil {
		return nil, fmt.Errorf("make shadow %q: %w", dir, err)
	}
	s, err := Open(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	name := filepath.Join(dir, "format")
	tmp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(tmp, []byte(Version), 0o600); err != nil {
		return nil, fmt.Errorf("make shadow %q: %w", dir, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return nil, fmt.Errorf("make shadow %q: %w", dir, err)
	}
	return Open(dir)
}

// Open opens the shadow in dir. The error is fs.ErrNotExist when there is none
// and [ErrFormat] when it is of another version.
func Open(dir string) (*Store, error) {
	b, err := os.ReadFile(filepath.Join(dir, "format"))
	if err != nil {
		return nil, fmt.Errorf("open shadow %q: %w", dir, err)
	}
	if string(b) != Version {
		return nil, fmt.Errorf("open shadow %q: %w", dir, ErrFormat)
	}
	return &Store{dir: dir}, nil
}

// Sources lists the real paths of the trees that have a view here, sorted.
func (s *Store) Sources() ([]string, error) {
	ents, err := os.ReadDir(filepath.Join(s.dir, "views"))
	if err != nil {
		return nil, fmt.Errorf("list shadow %q: %w", s.dir, err)
	}
	var out []string
	for _, e := range ents {
		b, err := os.ReadFile(filepath.Join(s.dir, "views", e.Name(), "source"))
		if err == nil && Key(string(b)) == e.Name() {
			out = append(out, string(b))
		}
	}
	sort.Strings(out)
	return out, nil
}

// View opens the view of the tree whose real path is source; fs.ErrNotExist when
// nothing was ever held there. The caller closes it.
func (s *Store) View(source string) (*View, error) {
	dir := filepath.Join(s.dir, "views", Key(source))
	if _, err := os.Stat(filepath.Join(dir, "source")); err != nil {
		return nil, fmt.Errorf("open shadow of %q: %w", source, err)
	}
	return openView(dir, source)
}

// CreateView is View, which makes the view when it is not there.
func (s *Store) CreateView(source string) (*View, error) {
	dir := filepath.Join(s.dir, "views", Key(source))
	for _, d := range []string{"tree", "base", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("make shadow of %q: %w", source, err)
		}
	}
	v, err := openView(dir, source)
	if err != nil {
		return nil, err
	}
	if err := v.writeAt(v.dir, "source", []byte(source)); err != nil {
		v.Close()
		return nil, fmt.Errorf("make shadow of %q: %w", source, err)
	}
	return v, nil
}

func openView(dir, source string) (*View, error) {
	v := &View{Source: source, dir: -1, tree: -1, base: -1, tmp: -1}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open shadow of %q: %w", source, err)
	}
	v.dir = fd
	for _, p := range []struct {
		fd   *int
		name string
	}{{&v.tree, "tree"}, {&v.base, "base"}, {&v.tmp, "tmp"}} {
		*p.fd, err = unix.Openat(v.dir, p.name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			v.Close()
			return nil, fmt.Errorf("open shadow of %q: %w", source, err)
		}
	}
	// Everybody who uses a view holds a shared lock, so that the one who could have
	// an exclusive one knows that tmp is nobody's.
	if unix.Flock(v.tmp, unix.LOCK_EX|unix.LOCK_NB) == nil {
		removeBelow(v.tmp)
	}
	if err := unix.Flock(v.tmp, unix.LOCK_SH); err != nil {
		v.Close()
		return nil, fmt.Errorf("lock shadow of %q: %w", source, err)
	}
	return v, nil
}
