package guest

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// connect connects to the first address that answers, says so on out and copies both
// ways until both ends have ended what they send. What leads elsewhere than to the loopback is no
// use of ours.
func connect(addrs []string, in io.Reader, out *os.File) int {
	var c *os.File
	err := errors.New("no address")
	for _, s := range addrs {
		var a netip.AddrPort
		if a, err = netip.ParseAddrPort(s); err != nil || !a.Addr().IsLoopback() {
			return refuse(out)
		}
		if c, err = dial(a); err == nil {
			break
		}
	}
	if err != nil {
		return refuse(out)
	}
	defer c.Close()
	if _, err := out.Write([]byte{belljar.HelperConnected}); err != nil {
		return 1
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(c, in)
		_ = control(c, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
	})
	both.Go(func() {
		_, _ = io.Copy(out, c)
		_ = out.Close()
	})
	both.Wait()
	return 0
}

func refuse(out io.Writer) int {
	_, _ = out.Write([]byte{'-'})
	return 1
}
