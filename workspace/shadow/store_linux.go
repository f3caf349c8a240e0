package shadow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

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

// Use says that a sandbox works in the shadow, until this process ends. It waits
// while somebody has the shadow alone.
func (s *Store) Use() error {
	_, err := s.lock(unix.LOCK_SH) // held by the open descriptor, which stays
	return err
}

// Patience is how long a sandbox that is being ended is worth waiting for.
const Patience = 2 * time.Second

// Alone keeps every sandbox out of the shadow until release is called. It returns
// [ErrInUse] when one works in it, or somebody else has it alone, for so long.
func (s *Store) Alone(patience time.Duration) (release func(), err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		fd, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { unix.Close(fd) }, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, err
		case time.Now().After(deadline):
			return nil, ErrInUse
		}
	}
}

// lock takes the lock of the whole shadow, which the kernel drops when the
// descriptor is closed, whatever ends its owner.
func (s *Store) lock(how int) (fd int, err error) {
	fd, err = unix.Open(filepath.Join(s.dir, "views"), unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, fmt.Errorf("lock shadow %q: %w", s.dir, err)
	}
	for {
		if err = unix.Flock(fd, how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("lock shadow %q: %w", s.dir, err)
	}
	return fd, nil
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
