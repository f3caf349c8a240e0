package event

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event/internal/sign"
)

// A Key signs the heads of a user's records, and evidence. It is made when the user's first
// record is, and stays in a file that only the user can read and no sandbox sees.
type Key struct {
	own *sign.Key
}

// OpenKey reads the key of a state folder and makes it where there is none. A file that
// others may read, or that is somebody else's, is refused.
func OpenKey(state string) (*Key, error) {
	k, err := sign.Open(state)
	if err != nil {
		return nil, keyError(state, err)
	}
	return &Key{k}, nil
}

func keyError(state string, err error) error {
	return &belljar.Error{Op: "open the key of records", ID: filepath.Join(state, sign.File), Err: err,
		Hint: "it must be a file of yours that nobody else may read (chmod 600); without it, move it away and a new one is made, which signs only what comes"}
}

// newKey makes a key that is kept in memory only.
func newKey() (*Key, error) {
	k, err := sign.New()
	return &Key{k}, err
}

// readKey reads the key of a state folder.
func readKey(state string) (*Key, error) {
	k, err := sign.Read(state)
	if err != nil {
		return nil, err
	}
	return &Key{k}, nil
}

// Public is the public half.
func (k *Key) Public() ed25519.PublicKey { return k.own.Public() }

// Sign signs message.
func (k *Key) Sign(message []byte) []byte { return k.own.Sign(message) }

func (k *Key) signHead(message []byte) ([]byte, error) { return k.Sign(message), nil }

// Wipe overwrites the key, which cannot sign any more. It is no promise that the process
// has forgotten it: package crypto/ed25519 keeps copies of keys that have signed. Where that
// matters another process signs: see [CreateOptions].Apart.
func (k *Key) Wipe() { k.own.Wipe() }

// text is the public half as lines have it.
func (k *Key) text() string { return base64.StdEncoding.EncodeToString(k.Public()) }

// Fingerprint is the short name of a public key, for people to compare.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return "SHA256:" + hex.EncodeToString(sum[:])
}
