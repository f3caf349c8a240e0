package contract

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// CheckPlan refuses a plan that leaves a limit open, whose identity is not this
// process's or is root, or whose command is not resolved.
func CheckPlan(p *belljar.Plan) error {
	l := p.Limits
	if l.Memory <= 0 || l.CPUs <= 0 || l.Processes <= 0 || l.Files <= 0 {
		return errors.New("the plan leaves a limit open")
	}
	if p.Identity.HostUID == 0 || p.Identity.HostUID != os.Geteuid() {
		return fmt.Errorf("the plan's host identity %d is not this process's (%d), or is root", p.Identity.HostUID, os.Geteuid())
	}
	if len(p.Command.Argv) == 0 || !filepath.IsAbs(p.Command.Path) || !filepath.IsAbs(p.Command.Dir) {
		return errors.New("the plan's command is not resolved")
	}
	return nil
}

// CPUs is the number of processors that a limit means on this machine, at least one.
func CPUs(l belljar.Limits) int {
	n := int(l.CPUs)
	if float64(n) < l.CPUs {
		n++
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		n = min(n, set.Count())
	}
	return max(n, 1)
}

// LocalhostPorts are the ports of the host's loopback that the plan names, sorted.
func LocalhostPorts(p *belljar.Plan) []uint16 {
	var ports []uint16
	for _, r := range p.Network.Rules {
		if r.Host == belljar.Localhost {
			ports = append(ports, r.Ports...)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// CheckFiles refuses what must never enter: a regular file has an offset of its
// own inside, a terminal or a device is the host's.
func CheckFiles(c *belljar.Command) error {
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f == nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return fmt.Errorf("examine a descriptor: %w", err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFSOCK:
		default:
			return errors.New("a descriptor is neither a pipe nor a socket")
		}
	}
	return nil
}

// Stdio are the three files of a command; missing ones are the null device's
// stand-in: an empty pipe end that nobody else holds. done closes the stand-ins.
func Stdio(c *belljar.Command) (files []*os.File, done func(), err error) {
	files = []*os.File{c.Stdin, c.Stdout, c.Stderr}
	var made []*os.File
	done = func() { wire.CloseAll(made) }
	for i, f := range files {
		if f != nil {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			done()
			return nil, nil, err
		}
		if i == 0 {
			w.Close()
			files[i] = r
		} else {
			r.Close()
			files[i] = w
		}
		made = append(made, files[i])
	}
	return files, done, nil
}

// KindOf is the kind of an error with which a command did not start.
func KindOf(err error) belljar.Kind {
	switch {
	case errors.Is(err, unix.ENOENT):
		return belljar.KindNotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOEXEC):
		return belljar.KindRefused
	}
	return belljar.KindInternal
}

// View is r, the requirement that views are served, as this host can hold it.
func View(r belljar.Enforcement) belljar.Enforcement {
	err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK)
	if err == nil {
		return r
	}
	r.Level, r.By = belljar.None, ""
	r.Gap = "/dev/fuse cannot be opened: " + err.Error()
	r.Remedy = "run: sudo modprobe fuse && sudo chmod 0666 /dev/fuse (in a container: start it with --device /dev/fuse)"
	return r
}
