//go:build unix && !linux

package terminal

import "errors"

// reopen is not possible here: other systems duplicate the open file instead.
func reopen(int) (int, error) { return -1, errors.ErrUnsupported }
