package shadow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// whiteoutPrefix begins the text of a symbolic link that is a whiteout.
const whiteoutPrefix = "\x01belljar-whiteout\x01"

// maxRecord bounds a base record: PATH_MAX in base64 and the numbers.
const maxRecord = 64 << 10

// A Base is what the host had at a path when a private copy or a whiteout was
// made: enough to notice that the host's entry is another one now.
type Base struct {
	Ino   uint64 `json:"ino"`
	MTime int64  `json:"mtime"` // nanoseconds since 1970
	Size  int64  `json:"size"`
	Mode  uint32 `json:"mode"` // type and permission bits, as in st_mode
	// Sum is the SHA-256 of the content (the text, for a symbolic link) in hex; empty
	// when the content was too large to read or was not that of a file or link.
	Sum string `json:"sum,omitempty"`
	// Attrs stands for the extended attributes for which [OwnXattr] holds: "-" for
	// none, empty where nobody looked.
	Attrs string `json:"attrs,omitempty"`
	// Run is set in a whiteout that holds for one run only: the host keeps its entry
	// whatever becomes of the shadow. It names the run.
	Run string `json:"run,omitempty"`
}

// Same says whether b and now describe the same content: by the sums when both
// have one, else by inode, time, size and type. A nil Base means that nothing was there.
func (b *Base) Same(now *Base) bool {
	if b == nil || now == nil {
		return b == nil && now == nil
	}
	const typeMask = 0o170000
	if b.Mode&typeMask != now.Mode&typeMask {
		return false
	}
	if b.Sum != "" && now.Sum != "" {
		return b.Sum == now.Sum
	}
	return b.Ino == now.Ino && b.MTime == now.MTime && b.Size == now.Size
}

// record is a base with the path that it belongs to.
type record struct {
	Path []byte `json:"path"` // base64 in JSON: names are arbitrary bytes
	Base
}

// SameAttrs says whether b and now have the same extended attributes, as far as is known.
func (b *Base) SameAttrs(now *Base) bool {
	return b == nil || now == nil || b.Attrs == "" || now.Attrs == "" || b.Attrs == now.Attrs
}

func encodeRecord(rel string, b Base) []byte {
	out, err := json.Marshal(record{Path: []byte(rel), Base: b})
	if err != nil { // numbers and strings: cannot happen
		panic(err)
	}
	return append(out, '\n')
}

// decodeRecord parses a base record and checks that it belongs to rel.
func decodeRecord(data []byte) (rel string, b Base, err error) {
	if len(data) > maxRecord {
		return "", Base{}, errors.New("base record is too long")
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return "", Base{}, fmt.Errorf("parse base record: %w", err)
	}
	if len(r.Path) == 0 {
		return "", Base{}, errors.New("base record without a path")
	}
	return string(r.Path), r.Base, nil
}

// IsWhiteoutText says whether a symbolic link with this text would be a whiteout.
func IsWhiteoutText(text string) bool { return strings.HasPrefix(text, whiteoutPrefix) }

func whiteoutText(b *Base) string {
	if b == nil {
		return whiteoutPrefix
	}
	out, err := json.Marshal(b)
	if err != nil { // numbers and strings: cannot happen
		panic(err)
	}
	return whiteoutPrefix + string(out)
}

// parseWhiteout gives the base in a whiteout's text; nil when it has none or a
// damaged one: the whiteout counts all the same.
func parseWhiteout(text string) *Base {
	rest := strings.TrimPrefix(text, whiteoutPrefix)
	if rest == "" {
		return nil
	}
	var b Base
	if json.Unmarshal([]byte(rest), &b) != nil {
		return nil
	}
	return &b
}
