package credential

import (
	"context"

	"github.com/belljar-dev/belljar"
)

// Keys holds the values of a sandbox's credentials, in the memory of the supervisor
// only. It may be used by several goroutines at once. Nothing that it returns, prints
// or writes as an error contains a value.
type Keys struct{}

// Make reads the values of creds and gives each credential its stand-in; what it
// returns is creds with StandIn set. A StandIn that is set already is kept (a sandbox
// that is started again). env is the caller's environment, as [os.Environ] has it: the
// sources of kind Env are read from it once, commands are run with it.
//
// A source without a value (no such variable or file, a command that fails) is no
// error: see [Keys.Missing]. A source that must not be used is: a file that others may
// write, a value that fits into no header.
func Make(ctx context.Context, creds []belljar.Credential, env []string) ([]belljar.Credential, *Keys, error) {
	return creds, &Keys{}, nil
}

// A Missing credential has no value yet.
type Missing struct {
	Name string // of the credential
	Why  string // one sentence without a period, printable
	// Later says that the source is looked at again when a request needs it; a
	// variable of the caller cannot appear later.
	Later bool
}

// Missing lists the credentials that had no value when Make looked, in their order.
func (k *Keys) Missing() []Missing { return nil }

// Outgoing judges one request to a host and port whose requests are seen (also where
// no credential is bound to it: stand-ins do not go there), and puts the values in:
// it changes r.Header. It reads a source where that is due, else it does no I/O. Call it
// once for each request, after the policy has allowed it and just before it is sent.
// When the verdict refuses, r.Header may have been changed and must not be sent.
func (k *Keys) Outgoing(ctx context.Context, r *Request) *Verdict { return &Verdict{} }

// Close forgets the values. Requests judged afterwards are treated as if no source had
// a value. Idempotent.
func (k *Keys) Close() error { return nil }
