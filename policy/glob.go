package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/belljar-dev/belljar/internal/glob"
)

// checkGlob refuses a pattern that can never match below the workspace.
func checkGlob(s string) error {
	if strings.HasPrefix(s, "~") {
		return fmt.Errorf("%q: patterns are relative to the workspace", s)
	}
	if strings.ContainsAny(s, "\n\t") {
		return errors.New("the pattern contains a control character")
	}
	if strings.HasPrefix(s, "!") {
		return fmt.Errorf("%q: patterns only add, there is no negation", s)
	}
	for _, c := range strings.Split(s, "/") {
		if c == ".." || c == "." {
			return fmt.Errorf("%q: a name %q never occurs below the workspace", s, c)
		}
	}
	if _, err := glob.Compile(s); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}
