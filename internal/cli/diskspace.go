package cli

import "golang.org/x/sys/unix"

// diskSpace is how many bytes of room the file system of dir has for this user, and how
// large it is; 0 where it does not say, or dir is not there yet.
func diskSpace(dir string) (free, size int64) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, 0
	}
	block := int64(st.Bsize)
	return int64(st.Bavail) * block, int64(st.Blocks) * block
}
