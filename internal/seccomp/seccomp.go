// Package seccomp builds filters of system calls, as programs of classic BPF, and
// installs them for all threads of the calling process.
//
//	p := seccomp.New(unix.ENOSYS)
//	p.Refuse(unix.SYS_PTRACE, unix.EPERM)
//	err := seccomp.Install(p.Allow())
//
// What is refused fails with an error number; nothing is killed.
//
// # Limitations
//
// Linux on amd64 and arm64. A filter sees numbers, not what pointers lead to. It imports
// the standard library and x/sys only, because processes use it before the rest of
// the program is initialised.
package seccomp
