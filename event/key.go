package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// keyFile is below the state folder; keyHead is how it begins.
const (
	keyFile = "record.key"
	keyHead = "belljar record key 1\n"
)

// A Key signs the heads of a user's records, and evidence. It is made when the user's first
// record is, and stays in a file that only the user can read and no sandbox sees.
type Key struct {
	private ed25519.PrivateKey
}

// OpenKey reads the key of a state folder and makes it where there is none. A file that
// others may read, or that is somebody else's, is refused.
func OpenKey(state string) (*Key, error) {
	k, err := readKey(state)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeKey(state); err == nil {
			k, err = readKey(state)
		}
	}
	if err != nil {
		return nil, &belljar.Error{Op: "open the key of records", ID: filepath.Join(state, keyFile), Err: err,
			Hint: "it must be a file of yours that nobody else may read (chmod 600); without it, move it away and a new one is made, which signs only what comes"}
	}
	return k, nil
}

// newKey makes a key that is kept in memory only.
func newKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(nil)
	return &Key{private}, err
}

func readKey(state string) (*Key, error) {
	f, err := os.OpenFile(filepath.Join(state, keyFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
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
	return parseKey(b)
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

// parseKey reads what makeKey writes, and nothing else.
func parseKey(b []byte) (*Key, error) {
	text, ok := bytes.CutPrefix(b, []byte(keyHead))
	text, ok2 := bytes.CutSuffix(text, []byte("\n"))
	seed := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(seed)
	n, err := base64.StdEncoding.Strict().Decode(seed, text)
	if !ok || !ok2 || err != nil || n != ed25519.SeedSize || bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("it does not have the form of a key")
	}
	return &Key{ed25519.NewKeyFromSeed(seed[:n])}, nil
}

// makeKey writes a new key, unless there is one by then.
func makeKey(state string) error {
	k, err := newKey()
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
	text := base64.StdEncoding.AppendEncode([]byte(keyHead), k.private.Seed())
	defer clear(text)
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // a key that is gone after a power failure proves nothing any more
		return err
	}
	// Whole or not at all, and never over another one.
	err = os.Link(f.Name(), filepath.Join(state, keyFile))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// Public is the public half.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign signs message.
func (k *Key) Sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

func (k *Key) signHead(message []byte) ([]byte, error) { return k.Sign(message), nil }

// Wipe overwrites the key, which cannot sign any more. It is no promise that the process
// has forgotten it: package crypto/ed25519 keeps copies of keys that have signed. Where that
// matters another process signs: see [CreateOptions].Apart.
func (k *Key) Wipe() { clear(k.private) }

// text is the public half as lines have it.
func (k *Key) text() string { return base64.StdEncoding.EncodeToString(k.Public()) }

// Fingerprint is the short name of a public key, for people to compare.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return "SHA256:" + hex.EncodeToString(sum[:])
}
