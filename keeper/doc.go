// Package keeper is the process of a user's that owns what sandboxes share: logins whose
// tokens rotate. It is started by the first sandbox that needs it and ends a few seconds
// after the last has gone, as an ssh-agent would that nobody has to start.
//
//	c := keeper.NewClient(keeper.Options{Runtime: dirs.Runtime, State: dirs.State, Env: env})
//	t, err := c.Token(ctx, "claude", file, "")
//
// # Model
//
// The login file of the agent's own program is the only place where tokens are kept: the
// keeper has no copy on disk, and losing it loses nothing. It gives out access tokens, to
// supervisors of the same user; refresh tokens never leave it.
//
// Rotation has one owner. A token that expires soon, or that the provider did not accept
// (the client says which: by a hash), is replaced once, whoever and however many ask; all
// of them get the new one, and the file has it before they do. What replaces it is a
// process of its own ([Argv0Refresh]), so that the death of the keeper does not interrupt
// it between the provider's answer and the file: it holds a lock, and whatever keeper
// comes next waits for that. It also takes the locks of the agent's own program, so that
// that one waits, and finds the file changed; what that one rotated is found in turn: the
// file is looked at before every answer.
//
// Before a refresh token is sent, that is written down. Where a mark is found, its answer
// was lost (the machine lost power, or the process that asked was killed): the provider
// may have taken the refresh token for used, and to send it once more may end the login.
// Then the access token is used for as long as it is accepted, and the refresh token sent
// as the last resort only: when the access token has expired, or the provider refuses it.
//
// That a request was answered with 401 is what a client says, and an agent can have it
// happen: the provider is asked, with a request of the keeper's own, and a token that it
// accepts stays. Where it says neither, a token is replaced as often as a bucket allows,
// and never where there is a mark. Who has a token that is good waits for none of that.
//
// Locks that are folders are touched while they are held. Right before a refresh token is
// sent the locks and the file are looked at once more: a machine may have slept, and
// somebody else have been at work. What somebody without a lock wrote meanwhile, another
// login or none, stays.
//
// A supervisor asks through a process of its own ([Client.Detach], [Argv0Door]), which asks
// for tokens of its sandbox's logins only, so that the supervisor itself need not connect
// to, or start, anything.
//
// # Heads of records
//
// A keeper that runs also remembers, in its memory, where the chained file of the heads of all
// records ended ([Heads]): what was cut off there shows as long as it lives. It is not
// started for that.
//
// # Who may speak
//
// The socket is 0600 in belljar's private runtime folder; a peer must have our uid and our
// user namespace. Nothing of the folder is visible in a sandbox. The keeper never runs as
// root, is in no core dump, and reads requests of one bounded line.
//
// # Limitations
//
// An answer of the provider's that was never received is lost: see above. A program that
// rotates the same login without its lock, on another machine say, can make ours invalid.
// So can one that takes the lock over within the instant between the last look and the
// first byte that is sent. A token that is revoked within seconds of the provider's
// accepting it is replaced after those.
// The keeper takes proxy and certificates from the environment of the sandbox that started
// it.
package keeper
