// Package sign is the key that signs a user's records, and the process that has it while
// a record is made apart.
//
// The process starts before the rest of the program is initialised, for which the package
// imports little: in a program of this size that is half of what the process costs.
//
// # Limitations
//
// Outside Linux no process has the key for others.
package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is below the state folder; Head is how it begins.
const (
	File = "record.key"
	Head = "belljar record key 1\n"
)

// SignedHead begins everything that is signed for anchors; the process signs nothing else.
const SignedHead = "belljar anchor 1\n"

// A Key signs. See event.Key.
type Key struct {
	private ed25519.PrivateKey
}

// Open reads the key of a state folder and makes it where there is none.
func Open(state string) (*Key, error) {
	k, err := Read(state)
	if errors.Is(err, os.ErrNotExist) {
		if err = write(state); err == nil {
			k, err = Read(state)
		}
	}
	return k, err
}

// New makes a key that is kept in memory only.
func New() (*Key, error) {
	_, private, err := ed25519.GenerateKey(nil)
	return &Key{private}, err
}

// Read reads the key of a state folder. A file that others may read, or that is somebody
// else's, is refused.
func Read(state string) (*Key, error) {
	f, err := os.OpenFile(path.Join(state, File), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := onlyOurs(f, state); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return Parse(b)
}

// onlyOurs says what is wrong with who may read f: it has to be a file of whoever owns the state.
func onlyOurs(f *os.File, state string) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	of, err := os.Stat(state)
	if err != nil {
		return err
	}
	file, ok := fi.Sys().(*syscall.Stat_t)
	folder, ok2 := of.Sys().(*syscall.Stat_t)
	switch {
	case !fi.Mode().IsRegular():
		return errors.New("it is no file")
	case fi.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others may read it (mode %04o)", fi.Mode().Perm())
	case ok && ok2 && file.Uid != folder.Uid:
		return fmt.Errorf("it belongs to user %d, the state to user %d", file.Uid, folder.Uid)
	}
	return nil
}

// Parse reads what is written of a key, and nothing else.
func Parse(b []byte) (*Key, error) {
	text, ok := bytes.CutPrefix(b, []byte(Head))
	text, ok2 := bytes.CutSuffix(text, []byte("\n"))
	seed := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(seed)
	n, err := base64.StdEncoding.Strict().Decode(seed, text)
	if !ok || !ok2 || err != nil || n != ed25519.SeedSize || bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("it does not have the form of a key")
	}
	return &Key{ed25519.NewKeyFromSeed(seed[:n])}, nil
}

// write writes a new key, unless there is one by then.
func write(state string) error {
	k, err := New()
	if err != nil {
		return err
	}
	defer k.Wipe()
	f, err := os.CreateTemp(state, ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(0o600); err != nil { // whatever the caller's umask took away
		return err
	}
	text := base64.StdEncoding.AppendEncode([]byte(Head), k.private.Seed())
	defer clear(text)
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // a key that is gone after a power failure proves nothing any more
		return err
	}
	// Whole or not at all, and never over another one.
	err = os.Link(f.Name(), path.Join(state, File))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// Seed is what the key is made of.
func (k *Key) Seed() []byte { return k.private.Seed() }

// Public is the public half.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign signs message.
func (k *Key) Sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

// Wipe overwrites the key, which cannot sign any more.
func (k *Key) Wipe() { clear(k.private) }
