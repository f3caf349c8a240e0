//go:build ablation

package jail

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// network makes the link; without the layer in a namespace that nobody else is in,
// so that commands have the host's network.
func network() (end *os.File, header []byte, err error) {
	if !ablate.Off(ablate.NSNet) {
		return makeLink()
	}
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the namespace is the thread's
		defer close(done)
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			end, header, err = makeLink()
		}
	}()
	<-done
	return end, header, err
}

// processes mounts /proc; without the layer it is the host's.
func processes(root *stage.Root, target string, m *newMount) error {
	if !ablate.Off(ablate.NSPID) {
		return mountNew(root, target, m)
	}
	at, err := root.MountPoint(target, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	tree, err := unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return move(tree, at)
}
