package gitindex

import (
	"errors"
	"io"
	"strings"
)

// maxHead bounds a HEAD file: a reference is no longer than a path.
const maxHead = 4096

var errHead = errors.New("it is not what git writes into a HEAD file")

// CheckHead says why what r holds is no HEAD file of a repository of the format:
// "ref: " and the valid name of a reference below refs/, or the full name of an
// object, and a newline. With anything else git on the host would not take the
// folder for a repository any more, or follow the name to another place.
func CheckHead(r io.Reader, format Format) error {
	b, err := io.ReadAll(io.LimitReader(r, maxHead+1))
	if err != nil {
		return err
	}
	line, ended := strings.CutSuffix(string(b), "\n")
	if !ended || len(b) > maxHead {
		return errHead
	}
	if ref, ok := strings.CutPrefix(line, "ref: "); ok {
		// git writes the second one where another file holds all references.
		if validRef(ref) || ref == "refs/heads/.invalid" {
			return nil
		}
		return errHead
	}
	digits := 40
	if format == SHA256 {
		digits = 64
	}
	if len(line) != digits || strings.Trim(line, "0123456789abcdef") != "" {
		return errHead
	}
	return nil
}

// validRef applies the rules of git check-ref-format to a name below refs/.
func validRef(ref string) bool {
	if !strings.HasPrefix(ref, "refs/") || strings.HasSuffix(ref, ".") {
		return false
	}
	if strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.ContainsAny(ref, " ~^:?*[\\") {
		return false
	}
	for i := range len(ref) {
		if ref[i] < ' ' || ref[i] == 0x7f {
			return false
		}
	}
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(strings.ToLower(part), ".lock") {
			return false
		}
	}
	return true
}
