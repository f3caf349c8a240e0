// Package wire carries small messages and descriptors between the processes of
// one sandbox: the supervisor, its launcher, the gofer, the sentry and the guest
// helper. A message is a JSON value and the files that belong to it, one
// SOCK_SEQPACKET packet each; a body that would not fit a packet travels as one
// more file, a sealed memory file.
//
// # Limitations
//
// It imports the standard library and x/sys only, because it runs before the
// rest of the program is initialised. Nobody but processes of one sandbox may
// hold the sockets: the messages are not authenticated.
package wire
