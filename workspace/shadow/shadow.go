// Package shadow is the on-disk format of what a sandbox changed and what has
// not landed on the host: private copies, whiteouts and opaque directories.
//
// A shadow belongs to a project, not to one sandbox, so that what waits is found
// again by the next run, by diff, apply and discard. Several processes may use
// one shadow at the same time: the disk is the only truth, nothing is cached.
//
// # Format
//
//	DIR/format                     "belljar-shadow 1\n"
//	DIR/views/KEY/                 one per served tree; KEY is the SHA-256 of its real path, 32 hex digits
//	DIR/views/KEY/source           the real path of the tree on the host, its bytes and nothing else
//	DIR/views/KEY/tree/REL         the private copy of REL, at the same relative path
//	DIR/views/KEY/base/HASH        what REL was on the host when the copy was made; HASH is the SHA-256 of REL
//	DIR/views/KEY/base/HASH+       the content that the host's file had then, if it was small: a merge needs it
//	DIR/views/KEY/tmp/             unfinished work, without meaning; emptied when nobody uses it
//
// An entry of tree is one of
//
//   - a regular file, FIFO, socket or symbolic link: it stands for the host's entry of that name;
//   - a directory: its entries are laid over those of the host's directory of that
//     name, if there is one. With its set-user-ID bit it is opaque: nothing of the
//     host shows through;
//   - a symbolic link whose text begins with [whiteoutPrefix]: a whiteout. The name
//     does not exist, whatever the host has there. The rest of the text is the
//     [Base] that was removed, or empty. An agent's own link with such a text is
//     never stored ([IsWhiteoutText]).
//
// A base record is the JSON form of [Base] with the path. It is on disk before the
// copy that it describes is; a copy without one is new: the host had nothing
// there. Names are arbitrary bytes except NUL and slash.
//
// # Crashes
//
// Every entry of tree appears, changes its kind and disappears by one rename,
// link or unlink, and file data is written through, so that a kill at any moment
// leaves a valid shadow: at worst a base record without a copy, which has no
// meaning, and rubbish in tmp.
//
// # Limitations
//
// Bytes survive the death of any process, not a power cut: nothing is synced.
// Extended attributes, owners and hard links are not kept.
package shadow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
)

// Version is the first line of the file "format".
const Version = "belljar-shadow 1\n"

// MaxKept is the largest file whose content is kept with its base.
const MaxKept = 1 << 20

// kept ends the name of such a content.
const kept = "+"

// ErrInUse says that somebody works in the shadow.
var ErrInUse = errors.New("the shadow is in use")

// ErrFormat says that a folder is not a shadow of this version.
var ErrFormat = errors.New("not a shadow of this version")

// Kind is what an entry is.
type Kind uint8

// The kinds of entries.
const (
	File     Kind = iota // regular file
	Dir                  // directory, laid over the host's
	Symlink              // symbolic link
	Whiteout             // the name does not exist
	Special              // FIFO or socket
)

// String is the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Dir:
		return "dir"
	case Symlink:
		return "symlink"
	case Whiteout:
		return "whiteout"
	}
	return "special"
}

// An Entry is one thing that the shadow holds.
type Entry struct {
	Path    string // relative to the view, slashes, arbitrary bytes; "" is the view itself
	Kind    Kind
	Perm    uint32 // permission bits
	Size    int64  // bytes of a file
	ModTime time.Time
	Target  string // text of a symbolic link
	Opaque  bool   // a directory through which nothing of the host shows
	// Base is what the host had at Path when the copy was made. It is nil when
	// the entry is new, and for directories.
	Base *Base
}

// Key is the folder name of the view of the tree at source.
func Key(source string) string {
	h := sha256.Sum256([]byte(source))
	return hex.EncodeToString(h[:16])
}
