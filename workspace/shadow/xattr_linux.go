package shadow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxXattrs is the longest list of names that Linux has: XATTR_LIST_MAX.
const maxXattrs = 64 << 10

// reserved begin names that file systems and container engines laid over a folder
// read as instructions: what a file hides, whose it is, where else it lies.
var reserved = []string{"user.overlay.", "user.fuseoverlayfs.", "user.containers.", "user.rootlesscontainers"}

// OwnXattr says whether a sandbox may see and set the extended attribute: one that
// users give their files, xattr(7), and that nothing on the host obeys.
func OwnXattr(name string) bool {
	if !strings.HasPrefix(name, "user.") {
		return false
	}
	for _, r := range reserved {
		if strings.HasPrefix(name, r) {
			return false
		}
	}
	return true
}

// Xattrs lists the attributes of path for which [OwnXattr] holds. A file system
// without any gives none.
func Xattrs(path string) ([]string, error) {
	buf := make([]byte, maxXattrs)
	n, err := unix.Listxattr(path, buf)
	if err == unix.EOPNOTSUPP || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if OwnXattr(string(name)) {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// CopyXattrs copies the attributes for which [OwnXattr] holds from one open file to
// another, as far as the file system of the other takes them: like cp -a, it does
// not fail a copy for their sake.
func CopyXattrs(from, to int) {
	names, err := Xattrs("/proc/self/fd/" + strconv.Itoa(from))
	if err != nil {
		return
	}
	for _, name := range names {
		value := make([]byte, maxXattrs) // the longest value too: XATTR_SIZE_MAX
		if n, err := unix.Fgetxattr(from, name, value); err == nil {
			_ = unix.Fsetxattr(to, name, value[:n], 0)
		}
	}
}

// AttrSum stands for the attributes of an open file for which [OwnXattr] holds, as in
// [Base]: "-" for none, empty where they cannot be read.
func AttrSum(fd int) string {
	names, err := Xattrs("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return ""
	}
	if len(names) == 0 {
		return "-"
	}
	slices.Sort(names)
	h := sha256.New()
	value := make([]byte, maxXattrs)
	for _, name := range names {
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return ""
		}
		fmt.Fprintf(h, "%d %s %d ", len(name), name, n)
		h.Write(value[:n])
	}
	return hex.EncodeToString(h.Sum(nil))
}
