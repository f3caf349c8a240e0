package keeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/belljar-dev/belljar/credential/login"
	"golang.org/x/sys/unix"
)

// An UnfitError says why a login file that is there is not used: of its owner, its mode,
// or what it is.
type UnfitError struct{ Why string }

// Error is one sentence without a period, with the file in it.
func (e *UnfitError) Error() string { return e.Why }

func unfit(format string, path string) error { return &UnfitError{fmt.Sprintf(format, path)} }

// Look is what the keeper of the caller's would find in the login file. It changes nothing
// and asks nobody. The error is an [UnfitError] where the keeper would not read the
// file, and [fs.ErrNotExist] where there is none.
func Look(k *login.Kind, file string) (login.Tokens, error) {
	if _, err := os.Stat(file); err != nil {
		return login.Tokens{}, err
	}
	return tokensOf(k, file)
}

// readFile reads a login file: one of ours that nobody else may write.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("the file %s does not exist", path)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, nil, unfit("%s is no regular file", path)
	case ok && int(st.Uid) != os.Geteuid():
		return nil, nil, unfit("the file %s belongs to another user", path)
	case info.Mode().Perm()&0o022 != 0:
		return nil, nil, unfit("others may write the file %s (chmod 600)", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, login.MaxFile+1))
	return b, info, err
}

// replaceFile puts content into the place of the file at path, in one step: whoever
// reads finds the old or the new, also after a loss of power. Only who holds the lock of
// the file calls it.
func replaceFile(path string, content []byte) error {
	next, err := writeNext(path, content)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // some file systems cannot
		_ = dir.Close()
	}
	return nil
}

// writeNext writes content beside path, to the disk.
func writeNext(path string, content []byte) (next string, err error) {
	next = path + ".belljar-new" // one name: what a killed process left is replaced
	_ = os.Remove(next)
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return next, err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return next, errors.Join(err, f.Close())
}

// mayReplace says why the file at path could not be replaced by content.
func mayReplace(path string, content []byte) error {
	next, err := writeNext(path, content)
	return errors.Join(err, os.Remove(next))
}

// flock takes the lock of an open file; it waits on when a signal comes.
func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
