package confine

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/confine/calls"
)

// Rights of Landlock.
const (
	file  = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	read  = ll.AccessFSReadFile | ll.AccessFSReadDir
	write = file | ll.AccessFSReadDir | remove | ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock |
		ll.AccessFSMakeFifo | ll.AccessFSMakeSym | ll.AccessFSRefer
	remove = ll.AccessFSRemoveDir | ll.AccessFSRemoveFile
	into   = ll.AccessFSMakeReg | ll.AccessFSRefer
	all    = write | ll.AccessFSExecute | ll.AccessFSMakeChar | ll.AccessFSMakeBlock | ll.AccessFSIoctlDev
)

// Self confines this process. After an error it may be confined in part: it should end.
func Self(o Options) error {
	if ablate.Off(ablate.Supervisor) {
		return nil
	}
	if err := paths(o); err != nil {
		return fmt.Errorf("confine by Landlock: %w", err)
	}
	return calls.Restrict(o.Calls)
}

func paths(o Options) error {
	handled := landlock.AccessFSSet(all)
	if !o.Calls.Unix {
		handled |= ll.AccessFSResolveUnix
	}
	cfg := landlock.Config{HandledAccessFS: handled, Scoped: ll.ScopeAbstractUnixSocket}
	var rules []landlock.Rule
	for _, r := range []struct {
		paths  []string
		rights landlock.AccessFSSet
	}{{o.Read, read}, {o.List, ll.AccessFSReadDir}, {o.Write, write}, {o.Remove, remove}, {o.Into, into}} {
		for _, p := range r.paths {
			if rights, ok := fitting(p, r.rights); ok {
				rules = append(rules, landlock.PathAccess(rights, p).IgnoreIfMissing())
			}
		}
	}
	return cfg.BestEffort().Restrict(rules...)
}

// fitting are the rights that can be given for what is at p; none where nothing is.
func fitting(p string, rights landlock.AccessFSSet) (landlock.AccessFSSet, bool) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return 0, false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
	case unix.S_IFCHR: // a terminal
		rights = (rights & file) | ll.AccessFSIoctlDev
	default:
		rights &= file
	}
	return rights, rights != 0
}

func system(env func(string) string, resolver string) []string {
	files := []string{
		"/etc", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/var/lib/ca-certificates",
		"/usr/share/zoneinfo", "/proc",
	}
	// Who manages the resolver's file replaces it where it really is.
	if at, err := filepath.EvalSymlinks(resolver); err == nil && !strings.HasPrefix(at, "/etc/") {
		if dir := filepath.Dir(at); dir != "/" {
			files = append(files, dir)
		}
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "ZONEINFO"} {
		for _, p := range filepath.SplitList(env(name)) {
			if filepath.IsAbs(p) {
				files = append(files, p)
			}
		}
	}
	return files
}

// Enforcement says how far this kernel lets a supervisor be confined. It costs a system call.
func Enforcement() belljar.Enforcement {
	version, err := ll.LandlockGetABIVersion()
	if err != nil {
		version = 0
	}
	return enforcement(version)
}

func enforcement(abi int) belljar.Enforcement {
	e := belljar.Enforcement{
		Requirement: belljar.ReqSupervisor, Level: belljar.Enforced,
		By: "before the command starts, for all threads: Landlock (the files it still needs), a seccomp filter (no programs, no executable memory, no tracing, no signals to others), no core, no reading of its memory",
	}
	gap := func(gap, remedy string) {
		e.Level, e.Gap, e.Remedy = belljar.Approximate, gap, remedy
	}
	switch {
	case abi < 2: // with the first version nothing could be moved between folders
		e.By = "before the command starts, for all threads: a seccomp filter (no programs, no executable memory, no tracing, no signals to others), no core, no reading of its memory"
		gap("the kernel has no Landlock, or its first version: who took the supervisor over could open the files of its user",
			"use Linux 5.19 or later with Landlock among its security modules (boot with lsm=landlock,…)")
	case abi < 3:
		gap("who took the supervisor over could empty files of its user", "use Linux 6.2 or later")
	case abi < 6:
		gap("who took the supervisor over could connect to abstract sockets of its user", "use Linux 6.12 or later")
	}
	return e
}
