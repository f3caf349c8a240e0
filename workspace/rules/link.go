package rules

import (
	"strings"

	"github.com/belljar-dev/belljar/internal/ablate"
)

// LinkLeaves says whether a symbolic link in the directory dir (relative to the
// root, slashes; "" or "." is the root) with this target could lead out of the
// tree. It is careful: an absolute target leaves, and so does one with ".." behind
// a name, because that name may be a link itself.
func LinkLeaves(dir, target string) bool {
	if ablate.Off(ablate.Links) {
		return false
	}
	if strings.HasPrefix(target, "/") {
		return true
	}
	depth := 0
	for c := range strings.SplitSeq(dir, "/") {
		if c != "" && c != "." {
			depth++
		}
	}
	named := false
	for c := range strings.SplitSeq(target, "/") {
		switch c {
		case "", ".":
		case "..":
			if named || depth == 0 {
				return true
			}
			depth--
		default:
			named = true
		}
	}
	return false
}
