//go:build !ablation

package jail

import (
	"os"

	"github.com/belljar-dev/belljar/backend/internal/stage"
)

// network makes the link.
func network() (end *os.File, header []byte, err error) { return makeLink() }

// processes mounts /proc.
func processes(root *stage.Root, target string, m *newMount) error {
	return mountNew(root, target, m)
}
