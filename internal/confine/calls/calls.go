// Package calls is the filter of system calls for processes of ours that parse what
// comes out of a sandbox and start nothing: the supervisor, its helpers, the keeper.
//
// What passes is what a Go program does that reads and writes files and sockets. What
// fails, for all threads and for good: starting programs and processes, making memory
// executable, tracing and reading other processes, their priorities and limits, signals
// to processes that it had no descriptor of when it was confined, System V objects and
// message queues, owners, modes, times, attributes and flags of files, watching
// files, mounts, namespaces, identities, keys, BPF, io_uring, userfaultfd, modules,
// clocks, typing into a terminal, being dumped again, rare sockets, and every call that
// is newer than this list. Descriptors of processes stay open.
//
// # Limitations
//
// It is a list of what is refused, for the calls that were looked at. It imports the
// standard library and x/sys only, because helpers use it before the rest of the program
// is initialised. Outside Linux there is nothing to filter.
package calls

// Options say what a process needs beyond files, memory and clocks.
type Options struct {
	Internet bool // sockets of IPv4 and IPv6, and netlink for the host's own addresses
	Unix     bool // unix sockets that can be connected to a path
	Mend     bool // mode 0700 for what has a path: folders that are removed may have lost it
	Serve    bool // modes, owners, times and attributes of files, and watching them
}
