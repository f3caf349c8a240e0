// Package evidence makes and checks the file that shows others what a sandbox did: one DSSE
// envelope with an in-toto statement about its record, signed with the key that signs the
// heads of the user's records.
//
//	b, err := evidence.Sign(key, evidence.Predicate{…})
//	r, err := evidence.Verify(b, evidence.Options{Key: "SHA256:…"})
//
// # Model
//
// The subject of the statement is the record: the SHA-256 of its lines, and the hash of its
// last one, which covers all before. The predicate says what was run, with which program,
// policy and plan, what of it was judged when, who allowed what, and what waits. Public key and
// envelope are in the file, so that it is checked without a network, a state folder or belljar
// on the machine where it was made; any tool that knows DSSE and ed25519 can do it.
//
// [Verify] reads what anybody may have written: bounded, and strict. What it does not
// accept is no evidence.
//
// # Limitations
//
// A signature says that whoever has the key signed these bytes. Whose key it is must be known
// from elsewhere: compare the fingerprint. That the record is true rests on the host and the
// account that made it; a time is the one of that host's clock.
package evidence
