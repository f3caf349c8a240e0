package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A Root is a root file system in the making.
type Root struct {
	fd    int // O_PATH
	serve func(view int, dev *os.File) error
}

// New mounts an empty file system on dir, which becomes the root. serve is given
// the device of each view and returns when somebody serves it; it does not close it.
func New(dir string, serve func(view int, dev *os.File) error) (*Root, error) {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("belljar", dir, "tmpfs", flags, "mode=0755,size=160m"); err != nil {
		return nil, fmt.Errorf("mount the root on %q: %w", dir, err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root %q: %w", dir, err)
	}
	return &Root{fd: fd, serve: serve}, nil
}

// Do carries out one operation.
func (s *Root) Do(o *Op) error {
	if err := s.do(o); err != nil {
		return fmt.Errorf("%s %q: %w", o.Kind, o.Target, err)
	}
	return nil
}

// Seal makes the root itself read-only; what is mounted in it stays as it is.
func (s *Root) Seal() error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(s.fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// Close lets go of the root. The mounts stay.
func (s *Root) Close() { unix.Close(s.fd) }

func (s *Root) do(o *Op) error {
	switch o.Kind {
	case OpDir:
		return s.dir(o.Target, o.Perm)
	case OpFile:
		return s.file(o)
	case OpSymlink:
		return s.symlink(o)
	case OpBind:
		return s.bind(o, o.Source)
	case OpSelf:
		return s.self(o)
	case OpFuse:
		return s.fuse(o)
	}
	return errors.New("unknown operation")
}

// open resolves target inside the root; links never lead out of it.
func (s *Root) open(target string, flags int) (int, error) {
	how := &unix.OpenHow{
		Flags:   uint64(flags | unix.O_PATH | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(s.fd, strings.TrimPrefix(target, "/"), how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // a rename elsewhere raced with the walk
		}
		return fd, err
	}
}

// parent opens the directory that holds target, making it where it is missing.
func (s *Root) parent(target string) (fd int, name string, err error) {
	dir, name := path.Split(path.Clean(target))
	dir = path.Clean(dir)
	if name == "" {
		return -1, "", errors.New("the root itself is not a target")
	}
	if dir == "/" || dir == "." {
		fd, err = unix.Dup(s.fd)
		return fd, name, err
	}
	if fd, err = s.open(dir, unix.O_DIRECTORY); errors.Is(err, unix.ENOENT) {
		if err = s.dir(dir, 0o755); err == nil {
			fd, err = s.open(dir, unix.O_DIRECTORY)
		}
	}
	return fd, name, err
}

func (s *Root) dir(target string, perm uint32) error {
	if fd, err := s.open(target, unix.O_DIRECTORY); err == nil {
		return unix.Close(fd)
	}
	fd, name, err := s.parent(target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if perm == 0 {
		perm = 0o755
	}
	if err := unix.Mkdirat(fd, name, perm); err != nil {
		return missing(err)
	}
	return nil
}

// missing explains the one error that a wrong plan causes here.
func missing(err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("it lies in something mounted read-only that does not have this name: %w", err)
	}
	return err
}

func (s *Root) create(target string, perm uint32) (*os.File, error) {
	fd, name, err := s.parent(target)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	f, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
	if err != nil {
		return nil, missing(err)
	}
	return os.NewFile(uintptr(f), target), nil
}

func (s *Root) file(o *Op) error {
	perm := o.Perm
	if perm == 0 {
		perm = 0o444
	}
	f, err := s.create(o.Target, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(o.Content)
	return err
}

func (s *Root) symlink(o *Op) error {
	fd, name, err := s.parent(o.Target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Symlinkat(o.Content, fd, name); err != nil {
		return missing(err)
	}
	return nil
}

// bind attaches a private, recursive copy of the mounts at source. It is
// restricted before it appears anywhere.
func (s *Root) bind(o *Op, source string) error {
	src, err := openSource(source, o.NoLinks)
	if err != nil {
		return fmt.Errorf("open %q: %w", source, err)
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	target, err := s.mountPoint(o.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	defer unix.Close(target)
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE | unix.AT_EMPTY_PATH
	tree, err := unix.OpenTree(src, "", clone)
	if err != nil {
		return fmt.Errorf("copy the mounts at %q: %w", source, err)
	}
	defer unix.Close(tree)
	return attach(tree, target, o.ReadOnly)
}

// self binds the running program by its path: the link in /proc leads through a
// mount of the parent's namespace, which cannot be copied. Where the path leads
// nowhere (the program was replaced, or lies in a folder that only root may enter)
// a copy in memory takes its place.
func (s *Root) self(o *Op) error {
	const link = "/proc/self/exe"
	exe, err := os.Readlink(link)
	if err != nil {
		return err
	}
	var running, found unix.Stat_t
	if err := unix.Stat(link, &running); err != nil {
		return err
	}
	if unix.Stat(exe, &found) == nil && found.Dev == running.Dev && found.Ino == running.Ino {
		return s.bind(o, exe)
	}
	in, err := os.Open(link)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.create(o.Target, 0o555)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

func attach(tree, target int, readOnly bool) error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr); err != nil {
		return fmt.Errorf("restrict the mount: %w", err)
	}
	const move = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	if err := unix.MoveMount(tree, "", target, "", move); err != nil {
		return fmt.Errorf("attach the mount: %w", err)
	}
	return nil
}

func openSource(source string, noLinks bool) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
	if noLinks {
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
	}
	return unix.Openat2(unix.AT_FDCWD, source, how)
}

// Open opens what target is, itself and not for reading. The caller closes the
// descriptor.
func (s *Root) Open(target string) (int, error) { return s.open(target, 0) }

// OpenItself is as Open, but opens a link at the end of target itself.
func (s *Root) OpenItself(target string) (int, error) { return s.open(target, unix.O_NOFOLLOW) }

// MountPoint opens target, making a directory or an empty file of it where it is
// missing. The caller closes the descriptor.
func (s *Root) MountPoint(target string, dir bool) (int, error) { return s.mountPoint(target, dir) }

func (s *Root) mountPoint(target string, dir bool) (int, error) {
	if fd, err := s.open(target, 0); err == nil {
		return fd, nil
	}
	if dir {
		if err := s.dir(target, 0o755); err != nil {
			return -1, err
		}
	} else {
		f, err := s.create(target, 0o444)
		if err != nil {
			return -1, err
		}
		f.Close()
	}
	return s.open(target, 0)
}

// fuse mounts a view and waits until somebody serves it.
func (s *Root) fuse(o *Op) error {
	target, err := s.mountPoint(o.Target, true)
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	defer unix.Close(target)
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,max_read=1048576",
		dev.Fd(), os.Getuid(), os.Getgid())
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if o.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("belljar", fmt.Sprintf("/proc/self/fd/%d", target), "fuse.belljar", flags, opts); err != nil {
		return fmt.Errorf("mount the view: %w", err)
	}
	if err := s.serve(o.View, dev); err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	return nil
}
