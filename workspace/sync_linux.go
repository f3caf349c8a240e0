package workspace

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/meminfo"
)

// syncFiles waits until the files are on disk, with one error for each. Of many files on
// a file system of this host the kernel is asked once for all; of others for each, many at
// a time, so that they share what the disk has to do.
func syncFiles(files []*os.File) []error {
	errs := make([]error, len(files))
	byDev := map[uint64][]int{}
	for i, f := range files {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			errs[i] = err
			continue
		}
		byDev[st.Dev] = append(byDev[st.Dev], i)
	}
	for _, on := range byDev {
		if len(on) >= manyFiles && syncsWhole(files[on[0]]) && unix.Syncfs(int(files[on[0]].Fd())) == nil {
			continue
		}
		syncEach(files, on, errs)
	}
	return errs
}

const (
	manyFiles = 32 // from here on one request for the whole file system is faster
	syncers   = 16
	// maxDirty is how much may wait for the disk, of everybody's, where the whole file
	// system is asked for: all of it is waited for.
	maxDirty = 256 << 20
)

// syncsWhole says whether syncfs(2) keeps its promise on the file system of f, and soon:
// a server in user space or on a network may not be told.
func syncsWhole(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
	default:
		return false
	}
	return dirty() <= maxDirty
}

// syncEach writes each file out, after the disk was told of all of them.
func syncEach(files []*os.File, which []int, errs []error) {
	for _, i := range which {
		_ = unix.SyncFileRange(int(files[i].Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // only sooner
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(syncers, len(which)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = files[i].Sync()
			}
		})
	}
	for _, i := range which {
		next <- i
	}
	close(next)
	wg.Wait()
}

// dirty is how many bytes wait for the disk; more than may, where that is not told.
func dirty() int64 {
	waits, ok := meminfo.Read("Dirty", "Writeback")
	if !ok {
		return maxDirty + 1
	}
	return waits[0] + waits[1]
}
