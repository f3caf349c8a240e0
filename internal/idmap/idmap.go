// Package idmap says how a process is started that becomes the first one of a user
// namespace.
//
// # Limitations
//
// It imports package syscall only: it is also used while the rest of the program is being
// initialised (package ahead). Outside Linux there are no such namespaces.
package idmap
