package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// maxLine bounds a line of a record, for writers and readers.
const maxLine = 4 << 20

const (
	hashSize = 2 * sha256.Size
	hashMark = `,"hash":"`
	// sealSize is the length of what follows the hashed bytes of a line.
	sealSize = len(hashMark) + hashSize + len(`"}`)
	// lineOverhead is at most what a line has besides its body.
	lineOverhead = len(`{"seq":18446744073709551615,"prev":"",`) + hashSize + sealSize + 1
)

// An Entry is one line of a record.
type Entry struct {
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"` // hash of the line before
	belljar.Event
	Hash string `json:"hash"`

	// Raw is the line as it stands in the file, without the newline. It is JSON and
	// safe to show in a terminal. It is only valid until the next entry is read.
	Raw []byte `json:"-"`

	// Process is what is known of the process of an exec or exit event from the lines before.
	Process *Process `json:"-"`
}

// genesis stands for the hash of the line before the first one.
func genesis(what, id string) string {
	sum := sha256.Sum256([]byte("belljar " + what + " 1 " + id))
	return hex.EncodeToString(sum[:])
}

// appendBody appends v as JSON without its opening and closing brace, safe for
// terminals.
func appendBody(dst []byte, v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return dst, err
	}
	js := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(js) < 2 || js[0] != '{' {
		return dst, errors.New("not a JSON object")
	}
	return terminal.EscapeJSON(dst, js[1:len(js)-1]), nil
}

// appendLine appends a whole line, newline included, and returns its hash.
func appendLine(dst []byte, seq uint64, prev string, body []byte) ([]byte, string) {
	start := len(dst)
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = append(dst, prev...)
	dst = append(dst, `",`...)
	dst = append(dst, body...)
	sum := sha256.Sum256(dst[start:])
	var hash [hashSize]byte
	hex.Encode(hash[:], sum[:])
	dst = append(dst, hashMark...)
	dst = append(dst, hash[:]...)
	dst = append(dst, "\"}\n"...)
	return dst, string(hash[:])
}

// A link is the part of a line that the chain is made of.
type link struct {
	seq  uint64
	prev string
	hash string
	body []byte // between prev and hash, aliases the line
}

var (
	errForm = errors.New("not a line of a record")
	errHash = errors.New("the content does not have the hash that the line states")
)

// parseLink takes a line apart, without its newline, and checks its own hash.
// It accepts exactly what appendLine writes. With errHash the link is returned as it stands.
func parseLink(line []byte) (link, error) {
	var l link
	if len(line) > maxLine {
		return l, fmt.Errorf("%w: longer than %d bytes", errForm, maxLine)
	}
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return l, errForm
	}
	digits, rest, ok := bytes.Cut(rest, []byte(","))
	if !ok || len(digits) > 20 {
		return l, errForm
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || strconv.FormatUint(seq, 10) != string(digits) {
		return l, errForm
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`"prev":"`))
	if !ok || len(rest) < hashSize+2+sealSize || string(rest[hashSize:hashSize+2]) != `",` {
		return l, errForm
	}
	l.seq, l.prev = seq, string(rest[:hashSize])
	seal := line[len(line)-sealSize:]
	if string(seal[:len(hashMark)]) != hashMark || string(seal[sealSize-2:]) != `"}` {
		return l, errForm
	}
	l.hash = string(seal[len(hashMark) : sealSize-2])
	l.body = rest[hashSize+2 : len(rest)-sealSize]
	sum := sha256.Sum256(line[:len(line)-sealSize])
	if hex.EncodeToString(sum[:]) != l.hash {
		return l, errHash
	}
	return l, nil
}

// parseEntry decodes a line, without its newline. It does not check the hash.
func parseEntry(line []byte) (Entry, error) {
	var e Entry
	if len(line) > maxLine {
		return e, fmt.Errorf("%w: longer than %d bytes", errForm, maxLine)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", errForm, err)
	}
	if e.Kind == "" || e.Hash == "" {
		return Entry{}, errForm
	}
	e.Raw = line
	return e, nil
}
