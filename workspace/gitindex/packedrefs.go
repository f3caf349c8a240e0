package gitindex

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// CheckPackedRefs reads a packed-refs file and says whether it is harmless: no
// reference below refs/replace, by which git would show other objects than the
// ones that were committed, and none that leaves refs/.
func CheckPackedRefs(r io.ReaderAt, size int64) error {
	if size > maxSize {
		return fmt.Errorf("packed-refs is larger than %d bytes", maxSize)
	}
	sc := bufio.NewScanner(io.NewSectionReader(r, 0, size))
	sc.Buffer(make([]byte, 0, 4096), 2*maxPath)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || line[0] == '#' || line[0] == '^' {
			continue
		}
		_, name, ok := strings.Cut(line, " ")
		switch {
		case !ok:
			return errors.New("packed-refs has a line without a reference")
		case !strings.HasPrefix(name, "refs/"), badRef(name):
			return fmt.Errorf("the packed reference %q leaves its place", name)
		case strings.HasPrefix(foldPath(name), "refs/replace/"):
			return fmt.Errorf("the packed reference %q replaces an object", name)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read packed-refs: %w", err)
	}
	return nil
}

func badRef(name string) bool {
	for c := range strings.SplitSeq(name, "/") {
		if c == "" || c == "." || c == ".." {
			return true
		}
	}
	return false
}
