package cli

import (
	"os"
	"path/filepath"
	"syscall"
)

// workTop is the folder above dir, or dir, with a git directory of the caller's: root
// must make it reachable for the sandbox identity before the project is looked for.
// Empty when there is none below HOME or the root.
func workTop(dir, home string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	for d := real; d != "/" && d != home; d = filepath.Dir(d) {
		st, err := os.Lstat(filepath.Join(d, ".git"))
		if err != nil {
			continue
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok && int(s.Uid) == os.Getuid() {
			return d
		}
		return ""
	}
	return ""
}
