package processors

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Pin restricts the calling thread, and so the child that it forks, to n of the
// processors that it may use. Which ones is left to chance, so that sandboxes do
// not share the same ones.
func Pin(n int) (restore func(), err error) {
	var all, some unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("read the processor set: %w", err)
	}
	if n <= 0 || n >= all.Count() {
		return func() {}, nil
	}
	var list []int
	for i := 0; len(list) < all.Count(); i++ {
		if all.IsSet(i) {
			list = append(list, i)
		}
	}
	start := os.Getpid()
	if b := make([]byte, 1); randomByte(b) == nil {
		start = int(b[0])
	}
	for i := range n {
		some.Set(list[(start+i)%len(list)])
	}
	if err := unix.SchedSetaffinity(0, &some); err != nil {
		return nil, fmt.Errorf("restrict the processors: %w", err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, nil
}

func randomByte(b []byte) error {
	n, err := unix.Getrandom(b, unix.GRND_NONBLOCK)
	if err == nil && n != len(b) {
		err = io.ErrShortBuffer
	}
	return err
}
