package lookup

import (
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is the path of the program that name means to a command in the folder dir with
// the environment env, as execvp has it: a name without a slash is looked up along the
// last PATH of env. Relative entries of PATH count from dir, an empty one is left out.
// The error is ENOENT, or EACCES where there is such a file that cannot be executed.
func Program(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	why := error(unix.ENOENT)
	if name == "" {
		return "", why
	}
	list := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			list = v
		}
	}
	for d := range strings.SplitSeq(list, ":") {
		if d == "" {
			continue
		}
		if !path.IsAbs(d) {
			d = path.Join(dir, d)
		}
		at := path.Join(d, name)
		var st syscall.Stat_t
		if err := syscall.Stat(at, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Access(at, unix.X_OK) == nil {
			return at, nil
		}
		why = unix.EACCES
	}
	return "", why
}
