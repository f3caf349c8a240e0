package testenv

import (
	"os"
	"slices"
	"strings"
)

// Environ is the environment for programs that tests run, git above all: this
// process's own without what a hook, a user or a CI service tells git and other
// tools (GIT_DIR, XDG_CONFIG_HOME and their like), and then more.
func Environ(more ...string) []string {
	own := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "GIT_") || strings.HasPrefix(e, "XDG_")
	})
	return append(own, more...)
}
