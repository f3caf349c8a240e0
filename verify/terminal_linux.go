package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// onTerminal runs the attacker with a terminal: we are the screen and the keyboard.
func (w *world) onTerminal(ctx context.Context, l Launcher, argv []string) error {
	screen, tty, err := pty.Open()
	if err != nil {
		return err
	}
	w.terminal = screen // open to the end: see launchOn
	defer tty.Close()
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 40, Cols: 400}); err != nil {
		return errors.Join(err, screen.Close())
	}
	r, wr := io.Pipe()
	ended := make(chan struct{})
	release := sync.OnceFunc(func() {
		w.ttyHeld = whoElse(tty.Name())
		go typeEnd(ended, screen)
	})
	read, said := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(said)
		_ = w.said.read(r, release)
		release()
		_, _ = io.Copy(io.Discard, r)
	}()
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := screen.Read(b)
			if len(w.screen) < 1<<20 {
				w.screen = append(w.screen, b[:n]...)
			}
			if n > 0 {
				_, _ = wr.Write(b[:n])
			}
			if err != nil {
				_ = wr.Close()
				return
			}
		}
	}()
	err = w.launchOn(ctx, l, argv, tty)
	close(ended)
	tty.Close()
	// Reading ends with the last one who has the terminal open. Who still has it long
	// after the attacker's end got away.
	if err := screen.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	<-read
	<-said
	return err
}

// launchOn is launch with the terminal as the controlling one of whatever starts.
func (w *world) launchOn(ctx context.Context, l Launcher, argv []string, tty *os.File) error {
	if !w.cfg.Control && w.cfg.Command == "" {
		// The supervisor of a run is in the foreground of its terminal: so are we.
		if err := unix.IoctlSetInt(int(tty.Fd()), unix.TIOCSCTTY, 0); err != nil {
			return err
		}
		// It stays ours, and open, to the end of the world: when a controlling terminal
		// is given up or goes away, the kernel hangs up on every process of its group,
		// and those of the other phases are in it.
		return w.launch(ctx, l, phaseTerminal, argv, tty, tty, tty)
	}
	return w.bare(ctx, argv, tty)
}

// typeEnd types the end of input, as a user does, until somebody takes it: the first
// one only ends a line where something was typed before it.
func typeEnd(ended chan struct{}, screen *os.File) {
	for {
		_, _ = screen.WriteString("\x04")
		select {
		case <-ended:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// whoElse names a process, other than this one, that has the terminal open.
func whoElse(tty string) string {
	all, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, p := range all {
		if to, err := os.Readlink(p); err == nil && to == tty && !strings.HasPrefix(p, fmt.Sprintf("/proc/%d/", os.Getpid())) {
			return p
		}
	}
	return ""
}

// shown is a judgement by what the user's terminal was sent.
func shown(marks ...string) judgement {
	return judgement{host: func(w *world) (bool, string) {
		for _, m := range marks {
			if strings.Contains(string(w.screen), m) {
				return true, "the user's terminal was sent the sequence"
			}
		}
		return false, ""
	}}
}
