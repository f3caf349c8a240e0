package jail

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// deniedFile covers programs: empty, and with no permission for anybody. Its owner, who the
// sandbox is, could change that, but for its file system, which becomes read-only.
const deniedFile = Files + "/denied"

// deny covers the programs that must be neither read nor executed. Nothing of them is
// changed: a mount of this namespace lies over each. One that is gone is an error, for
// whatever took its place would run.
func (j *jail) deny(root *stage.Root) error {
	if len(j.job.Denied) == 0 || ablate.Off(ablate.Commands) {
		return nil
	}
	// A mode of 0 would mean the usual one.
	if err := root.Do(&stage.Op{Kind: stage.OpFile, Target: deniedFile, Perm: 0o400}); err != nil {
		return err
	}
	src, err := root.Open(deniedFile)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	if err := unix.Fchmodat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", src), 0, 0); err != nil {
		return fmt.Errorf("close %q to everybody: %w", deniedFile, err)
	}
	for _, p := range j.job.Denied {
		if err := denyOne(root, src, p); err != nil {
			return fmt.Errorf("keep the program %q from running: %w", p, err)
		}
	}
	return nil
}

// denyOne covers target, itself where it is a link, by the file src.
func denyOne(root *stage.Root, src int, target string) error {
	at, err := root.OpenItself(target)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	tree, err := unix.OpenTree(src, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := &unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		Propagation: unix.MS_PRIVATE,
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return err
	}
	if err := move(tree, at); err != nil {
		return err
	}
	return isCovered(root, src, target)
}

// isCovered looks whether what is at target is the file src: that the mount is where programs
// will meet it.
func isCovered(root *stage.Root, src int, target string) error {
	at, err := root.OpenItself(target)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(src, &a), unix.Fstat(at, &b)); err != nil {
		return err
	}
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return errors.New("it is not covered")
	}
	return nil
}
