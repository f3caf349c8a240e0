// Package ssh lets OpenSSH, and what builds on it (scp, sftp, rsync, git, editors),
// into a running sandbox.
//
// It is the server of one connection on two descriptors, those of a ProxyCommand: there
// is no sshd inside, no port, and no key of the user inside. [Serve] translates
// sessions into commands that a [Starter] starts inside; everything that touches the
// sandbox's files or its network is done by such a command, never by this process:
//
//   - a shell or a command is the sandbox's own shell;
//   - sftp is this program again, inside, as [Reexec] runs it;
//   - a forwarded connection is this program again, inside, which connects to the
//     sandbox's own loopback and copies bytes.
//
// # What it holds
//
// Who connects has started this process, and is asked for nothing more. The host's key
// ([HostKey]) is one per user, in a file of ours, and ssh is told of it by [Block], so
// that it asks nothing either. Forwarding to anywhere but the sandbox's loopback,
// forwarding back, agents and X11 are refused. What comes from inside is copied and
// otherwise not looked at, but for one byte by which a forwarded connection says
// whether it is made, the number by which a command ended, and control sequences: in a
// session with a terminal they pass the filter of package terminal.
//
// # Limitations
//
// The caller's variables other than those for language, terminal and git's protocol are
// not taken over; terminal modes of the client are not either. Without a terminal output
// is passed as it is, as files need it: to print it on one is the caller's decision. A
// process that outlives its session inside is not waited for.
package ssh
