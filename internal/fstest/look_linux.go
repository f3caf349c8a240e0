package fstest

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sparseSize is where the data of a file with a hole begins.
const sparseSize = 1 << 20

// Look describes what is below the named folders of dir, one line each: the quoted
// name, then type, mode, content and extended attributes of users. Times, owners,
// inodes and the number of links are not in it.
func Look(dir string, names ...string) ([]string, error) {
	var out []string
	for _, n := range names {
		err := filepath.WalkDir(filepath.Join(dir, n), func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			line, err := lookAt(p, e)
			rel, _ := filepath.Rel(dir, p)
			out = append(out, fmt.Sprintf("%q %s", rel, line))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func lookAt(p string, e fs.DirEntry) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%o", st.Mode)
	switch {
	case e.Type() == fs.ModeSymlink:
		l, err := os.Readlink(p)
		return fmt.Sprintf("%s -> %q", line, l), err
	case e.IsDir():
		return line + attrs(p), nil
	case e.Type() != 0:
		return line, nil
	}
	data, err := os.ReadFile(p)
	h := fnv.New64()
	_, _ = h.Write(data)
	line += fmt.Sprintf(" %d bytes %x", len(data), h.Sum64())
	if len(data) >= sparseSize && st.Blocks*512 < int64(len(data)) {
		line += " sparse"
	}
	return line + attrs(p), err
}

// attrs are the extended attributes of a file or folder that users give.
func attrs(p string) string {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, list)
	if err != nil {
		return " " + err.Error()
	}
	names := slices.DeleteFunc(strings.Split(string(list[:n]), "\x00"), func(s string) bool { return !strings.HasPrefix(s, "user.") })
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, name, value)
		fmt.Fprintf(&b, " %s=%x", name, value[:max(n, 0)])
		if err != nil {
			fmt.Fprintf(&b, " %v", err)
		}
	}
	return b.String()
}

// Differ says in which lines two descriptions of [Look] differ; it is empty when in
// none.
func Differ(want, got []string) string {
	var b strings.Builder
	for i, side := range [][]string{want, got} {
		other := map[string]bool{}
		for _, l := range [][]string{got, want}[i] {
			other[l] = true
		}
		for _, l := range side {
			if !other[l] {
				b.WriteString("\n" + "-+"[i:i+1] + " " + l)
			}
		}
	}
	return b.String()
}
