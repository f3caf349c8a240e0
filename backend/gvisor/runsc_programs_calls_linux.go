package gvisor

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/socket"
)

// scopeCalls are the system calls that are other ones while it is asked who opened a
// connection.
func (s *scope) scopeCalls(table *kernel.SyscallTable) error {
	for name, wrap := range map[string]func(kernel.SyscallFn) kernel.SyscallFn{
		"connect":           s.connect,
		"ptrace":            s.ptrace,
		"mmap":              s.mmap,
		"mprotect":          s.executable(2, linux.PROT_EXEC),
		"pkey_mprotect":     s.executable(2, linux.PROT_EXEC),
		"shmat":             s.executable(2, linux.SHM_EXEC),
		"clone":             noUsers,
		"unshare":           noUsers,
		"clone3":            failing(unix.ENOSYS), // its flags are in memory that may change; C libraries take clone then
		"setns":             failing(unix.EPERM),
		"process_vm_writev": failing(unix.EPERM),
		"pidfd_getfd":       failing(unix.EPERM),
	} {
		no, err := table.LookupNo(name)
		if err != nil && name == "pkey_mprotect" {
			continue // not every version has it
		}
		if err != nil {
			return err
		}
		call := table.Table[no]
		call.Fn = wrap(call.Fn)
		table.Table[no] = call
	}
	table.Init() // builds the index that is used
	return nil
}

func failing(err unix.Errno) func(kernel.SyscallFn) kernel.SyscallFn {
	return func(kernel.SyscallFn) kernel.SyscallFn {
		return func(*kernel.Task, uintptr, arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
			return 0, nil, err
		}
	}
}

// noUsers refuses further user namespaces.
func noUsers(call kernel.SyscallFn) kernel.SyscallFn {
	return func(t *kernel.Task, no uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
		if args[0].Uint64()&linux.CLONE_NEWUSER != 0 {
			return 0, nil, unix.EPERM
		}
		return call(t, no, args)
	}
}

// connect notes who connects before anything is sent.
func (s *scope) connect(call kernel.SyscallFn) kernel.SyscallFn {
	return func(t *kernel.Task, no uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
		if f := t.GetFile(args[0].Int()); f != nil {
			if k, ok := f.Impl().(socket.Socket); ok && isTCP(k) {
				s.connects(t, f)
			}
			f.DecRef(t)
		}
		return call(t, no, args)
	}
}

func isTCP(k socket.Socket) bool {
	family, kind, _ := k.Type()
	return (family == unix.AF_INET || family == unix.AF_INET6) && kind == unix.SOCK_STREAM
}

// mmap taints who maps code that something inside could have written: what has run once may
// have changed everything, whatever is mapped when it is asked.
func (s *scope) mmap(call kernel.SyscallFn) kernel.SyscallFn {
	return func(t *kernel.Task, no uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
		prot := args[2].Int()
		if prot&linux.PROT_EXEC != 0 && (prot&linux.PROT_WRITE != 0 || !s.fixedFile(t, args[3].Int(), args[4].Int())) {
			s.taint(t, madeCode)
		}
		return call(t, no, args)
	}
}

const madeCode = "it has loaded code that is not from a read-only file, or made some"

func (s *scope) fixedFile(t *kernel.Task, flags, fd int32) bool {
	if flags&linux.MAP_ANONYMOUS != 0 {
		return false
	}
	f := t.GetFile(fd)
	if f == nil {
		return true // the call fails
	}
	defer f.DecRef(t)
	return s.fixed(f.MappedName(t))
}

// executable taints who makes memory executable that it may have written: the call's
// argument at has the bit.
func (s *scope) executable(at int, bit int32) func(kernel.SyscallFn) kernel.SyscallFn {
	return func(call kernel.SyscallFn) kernel.SyscallFn {
		return func(t *kernel.Task, no uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
			if args[at].Int()&bit != 0 {
				s.taint(t, madeCode)
			}
			return call(t, no, args)
		}
	}
}

// ptrace taints who is traced, before anything is done to it.
func (s *scope) ptrace(call kernel.SyscallFn) kernel.SyscallFn {
	return func(t *kernel.Task, no uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
		target := t
		if args[0].Int64() != linux.PTRACE_TRACEME {
			target = t.PIDNamespace().TaskWithID(kernel.ThreadID(args[1].Int()))
		}
		s.taint(target, traced)
		n, control, err := call(t, no, args)
		s.taint(target, traced) // the call waits while the target executes a program: it is another one by now
		return n, control, err
	}
}
