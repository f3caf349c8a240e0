package gvisor

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// Usage implements [belljar.Instance].
func (in *instance) Usage(context.Context) (belljar.Usage, error) {
	in.mu.Lock()
	f := in.memory
	in.mu.Unlock()
	u := belljar.Usage{Processes: -1}
	if f == nil {
		return u, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return u, err
	}
	u.Memory = st.Blocks * 512
	return u, nil
}
