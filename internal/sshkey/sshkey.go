// Package sshkey writes an ed25519 key in the forms in which OpenSSH reads it, for git to
// sign commits with.
//
//	k := sshkey.New()
//	os.WriteFile("key", k.Private("belljar"), 0o400)
//	fmt.Println(k.Public("belljar")) // ssh-ed25519 AAAA… belljar
//
// # Limitations
//
// The private half is not encrypted: whoever has it signs.
package sshkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
)

const kind = "ssh-ed25519"

// A Key is one key pair.
type Key struct{ private ed25519.PrivateKey }

// New makes a key.
func New() Key {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system has no randomness: crypto/rand ends the program before
	}
	return Key{private}
}

// FromSeed is the key with a seed, as [Key.Seed] gave it.
func FromSeed(seed []byte) (Key, error) {
	if len(seed) != ed25519.SeedSize {
		return Key{}, errors.New("not the seed of an ed25519 key")
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// Seed is all that has to be kept of the key. It is secret.
func (k Key) Seed() []byte { return k.private.Seed() }

// Public is the public half in one line, as in authorized_keys.
func (k Key) Public(comment string) string {
	return kind + " " + base64.StdEncoding.EncodeToString(k.blob()) + " " + comment
}

func (k Key) blob() []byte {
	return appendText(appendText(nil, []byte(kind)), k.private.Public().(ed25519.PublicKey))
}

// Private is the private half as a file of ssh-keygen's.
func (k Key) Private(comment string) []byte {
	var check [4]byte
	_, _ = rand.Read(check[:])
	public := k.private.Public().(ed25519.PublicKey)
	secret := append(bytes.Clone(check[:]), check[:]...) // the same twice: it was decrypted
	for _, field := range [][]byte{[]byte(kind), public, k.private, []byte(comment)} {
		secret = appendText(secret, field)
	}
	for i := byte(1); len(secret)%8 != 0; i++ { // to the block of no cipher
		secret = append(secret, i)
	}
	file := append([]byte("openssh-key-v1"), 0)
	for _, field := range []string{"none", "none", ""} { // cipher, derivation of its key, options of that
		file = appendText(file, []byte(field))
	}
	file = binary.BigEndian.AppendUint32(file, 1)
	file = appendText(appendText(file, k.blob()), secret)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: file})
}

func appendText(to, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(text))), text...)
}
