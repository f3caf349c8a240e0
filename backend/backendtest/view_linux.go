package backendtest

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A view is a [belljar.FileView] that passes everything through but names that
// begin with ".hidden", which do not exist.
type view struct {
	t      *testing.T
	source string

	mu     sync.Mutex
	served []int
}

// Serve implements [belljar.FileView].
func (v *view) Serve(i int, dev *os.File) error {
	v.mu.Lock()
	v.served = append(v.served, i)
	v.mu.Unlock()
	root := &fs.LoopbackRoot{Path: v.source}
	//lint:ignore SA1019 the other way costs a node of our own per file
	root.NewNode = func(r *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &viewNode{fs.LoopbackNode{RootData: r}}
	}
	//lint:ignore SA1019 as above
	root.RootNode = root.NewNode(root, nil, "", nil)
	none := time.Duration(0)
	raw := fs.NewNodeFS(root.RootNode, &fs.Options{EntryTimeout: &none, AttrTimeout: &none})
	// The server needs a descriptor of its own: the file's finaliser would close it.
	fd, err := syscall.Dup(int(dev.Fd()))
	dev.Close()
	if err != nil {
		return err
	}
	syscall.CloseOnExec(fd)
	srv, err := fuse.NewServer(raw, "/dev/fd/"+strconv.Itoa(fd), &fuse.MountOptions{MaxWrite: 1 << 20, DisableXAttrs: true})
	if err != nil {
		return err
	}
	go srv.Serve()
	return nil
}

type viewNode struct{ fs.LoopbackNode }

// Lookup hides names.
func (n *viewNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if strings.HasPrefix(name, ".hidden") {
		return nil, syscall.ENOENT
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

// hostKernel is the host's uname -v.
func hostKernel(t *testing.T) string {
	b, err := os.ReadFile("/proc/sys/kernel/version")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
