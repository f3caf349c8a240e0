package credential

import "golang.org/x/sys/unix"

// mapPages maps memory that is left out of core dumps and of children; nil when there
// is none. That it is not swapped out is tried: an ordinary user may lock little.
func mapPages(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	_ = unix.Madvise(b, unix.MADV_WIPEONFORK)
	_ = unix.Mlock(b)
	return b
}

func unmapPages(b []byte) { _ = unix.Munmap(b) }
