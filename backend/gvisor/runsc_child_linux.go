package gvisor

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"

	"github.com/belljar-dev/belljar/backend/gvisor/internal/early"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	guestearly "github.com/belljar-dev/belljar/backend/internal/guest/early"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/internal/startup"
)

// A childMsg starts a waiting gofer or sentry.
type childMsg struct {
	Global []string `json:"global"`
	Args   []string `json:"args"`
	FDs    []string `json:"fds"` // the flag of each file
	// Localhost are the ports of the loopback that stand for those of the host's.
	Localhost []uint16 `json:"localhost,omitempty"`
}

// Reexec runs the role that args[0] names and never returns; it returns false when
// args[0] names no role of this package.
func Reexec(args []string) bool {
	if len(args) == 0 {
		return false
	}
	if early.Reexec(args) || guestearly.Reexec(args) {
		return true
	}
	switch args[0] {
	case launch.NameGofer:
		startup.DelayGC(false)
		registerPrecompiled()
		allowCLibrary()
		runsc("gofer", map[util.SubCommand]string{new(cmd.Gofer): "internal"})
	case launch.NameSentry:
		startup.DelayGC(false)
		registerPrecompiled()
		allowCLibrary()
		runsc("boot", map[util.SubCommand]string{bootCommand(): "internal", new(sentrycmd.Umount): "internal"})
	default:
		return false
	}
	return true
}

// runsc waits for the supervisor's message and becomes gVisor's sub-command.
func runsc(name string, commands map[util.SubCommand]string) {
	sock := os.NewFile(launch.FDChild, "supervisor")
	unix.CloseOnExec(launch.FDChild)
	var m childMsg
	files, err := wire.Recv(sock, &m)
	if err == io.EOF {
		os.Exit(0)
	}
	if err != nil || len(files) != len(m.FDs) {
		os.Exit(125)
	}
	sock.Close()
	shortenLocalhost(m.Localhost)
	numbers := make([]int, len(files))
	for i, f := range files {
		// The number outlives f: gVisor makes its own file of it.
		numbers[i] = must(unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3))
		f.Close()
	}
	os.Args = childArgs(m.Global, name, m.Args, m.FDs, func(i int) int { return numbers[i] })
	cli.Run(nil, commands, nil)
}

func must(n int, err error) int {
	if err != nil {
		os.Exit(125)
	}
	return n
}
