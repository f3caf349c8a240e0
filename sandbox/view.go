package sandbox

import (
	"context"
	"os"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/view"
)

// A lateView is a view server that is being started: the backend, which takes
// longer, starts meanwhile and waits only when it has something to be served.
type lateView struct {
	started chan struct{} // closed when s or err is set
	s       *view.Server
	err     error
}

var _ belljar.FileView = (*lateView)(nil)

func startView(ctx context.Context, o view.Options) *lateView {
	v := &lateView{started: make(chan struct{})}
	go func() {
		defer close(v.started)
		v.s, v.err = view.Start(ctx, o)
	}()
	return v
}

func (v *lateView) wait() (*view.Server, error) {
	<-v.started
	return v.s, v.err
}

// Serve implements [belljar.FileView].
func (v *lateView) Serve(i int, dev *os.File) error {
	s, err := v.wait()
	if err != nil {
		dev.Close()
		return err
	}
	return s.Serve(i, dev)
}

// why is err, or, where the server did not start, the reason of that.
func (v *lateView) why(err error) error {
	if _, viewErr := v.wait(); viewErr != nil {
		return viewErr
	}
	return err
}

func (v *lateView) close() error {
	s, err := v.wait()
	if err != nil {
		return nil // told already
	}
	return s.Close()
}
