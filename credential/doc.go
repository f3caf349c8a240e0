// Package credential keeps the keys of a sandbox outside of it.
//
//	creds, keys, err := credential.Make(ctx, creds, credential.Host{Env: os.Environ(), Project: dir})
//	…creds go into the plan: they hold stand-ins and no secret…
//
//	v := keys.Outgoing(ctx, &credential.Request{Host: host, Port: 443, Secure: true,
//		Method: r.Method, Path: path, URI: r.URL.RequestURI(), Header: r.Header})
//	if v.Refuse != "" {
//		…answer v.Status, record v.Refuse, v.Fix and v.Leaks; nothing is sent…
//	}
//	r.Body = v.Body(r.Body, record)
//	…send; then, of the answer…
//	resp.Body, err = v.Response(resp.StatusCode, resp.Header, resp.Body)
//
// # Model
//
// A credential has a value, which only [Keys] knows, and a stand-in, which is all that
// the sandbox has. A stand-in has the length and the shape of the value, so that clients
// take it for one; it is random, another one in each sandbox, worth nothing anywhere, and
// tells nothing of the value but its public beginning and end, the kinds of its characters
// and where what separates them stands; of a password (basic) that is no known kind of token,
// its length only. A value that is shorter than 16 characters has a stand-in of 40, one that
// is too regular a random one of its length.
//
// A source is looked at when a request needs it: a file when it changed (at most once a
// second), a command when its value is five minutes old, when the upstream answered 401
// (at most once a minute) or when it failed (every ten seconds), a variable once. So a
// credential that is added later works at once. No file, program, word or variable of a
// command leads to where the sandbox may write. Why there is no value is told outside only.
//
// [Keys.Outgoing] judges by the host that is connected to:
//
//   - No credential is bound to it: a stand-in in the target or in a header is refused, and
//     is an attempt to carry it away. Everything else is none of our business.
//   - A credential is bound to it: the headers from which servers take an account (see
//     carriers.go) hold a stand-in of this host or nothing. Anything else there, or in a
//     parameter of the query that carries a credential, is refused, on every path: an
//     attacker's key for an allowed host is a way out. Cookies are taken out, but for those
//     of load balancers; Proxy-Authorization is never sent on.
//   - A credential is also for this method and path: its value replaces its stand-in, in
//     the form that the policy says, whatever the client's (Bearer, token, Basic with the
//     token as the password or as the user). Where no stand-in stands in its place,
//     the first credential that takes the request is put in: a client that was told of no
//     key, such as git without a helper, works. Where several take it, the client's choice
//     of a stand-in is what counts.
//   - A stand-in of this host in another place is forwarded as it is, and told.
//
// Nothing is put in without TLS but for the host's own loopback, nor into TRACE.
//
// [Verdict.Body] searches the body for stand-ins. In requests to a model with a credential
// put in they are forwarded: a conversation repeats what a tool printed once.
//
// [Verdict.Response] searches headers and body of the answers of bound hosts for all
// values that are or were known: plain, in hexadecimal, in base64 at each alignment and of
// both alphabets, and with any of the characters escaped as in URLs, JSON or string
// literals. What is found becomes the stand-in in the same form and length. So that this
// is possible the request asks for an answer that is not encoded, and for a WebSocket
// without compression.
//
// What somebody inside sees of the search besides, the sizes of pieces, delays and the
// time that it takes, depends on the answer and on what the stand-ins show, not on the
// values: a host that sends what an agent chose would otherwise tell how much of a guess
// is right. So the end of every piece in which any value might begin is held back (a run
// of letters, digits and the other characters of tokens; where the stand-in does not show
// the characters of its value, of any but control characters), until more arrives, the
// answer ends or a frame of a WebSocket does; a run of less than 8 characters for a second.
// What is held when an answer breaks off is dropped. Ranges of an answer are not asked for.
//
// # Limitations
//
//   - An upstream that shows a value in another form (reversed, compressed within the
//     body, in lines of base64, in two frames, as HTML or UTF-16) shows it. So does one that
//     cuts its text where the agent says (an offset in the query, a text that is cut at a
//     length). Of one that sends less than 8 characters of a value and is then silent for a
//     second, these are seen; what follows is replaced.
//   - Where what a host streams ends in such a run and is followed by silence, the run is
//     late until more follows. Events, lines and frames do not; messages of gRPC may.
//   - A download from a bound host is not resumed but begun again.
//   - Escapes are undone to a depth: percent-encoding twice, backslashes as in JSON in JSON in
//     JSON. Of characters that are not ASCII, escapes of their bytes are found, and JSON's of
//     the characters (\u00e4) where all of them, and no others but those that JSON must
//     escape, are escaped, in JSON and in JSON in JSON. Of a value that holds percent signs or
//     several backslashes in a row some of the deeper forms are not found.
//   - Whether a whole value is in an answer can be seen: it is replaced.
//   - What stands in front of a value of less than 13 characters that is escaped in part can
//     be such that its beginning reads as an escape (%4 and 1): it is not found.
//   - Values of less than 8 characters are not searched for: they would be met by chance.
//     For longer ones that can be guessed, searching tells whether a guess was right: an
//     upstream that echoes is asked for it. Bind passwords to hosts that do not.
//   - Where a host hands out further tokens of its own (OAuth, the token service of an
//     image registry), requests to it with these are refused, and so are sessions by
//     cookie: bind the credential to the other host, or leave it out.
//   - Bodies of requests are searched for stand-ins only, not for an attacker's key, and not
//     where an agent encrypts or compresses them, or behind WebSocket's masks. A stand-in
//     is worthless: the search shows an attempt and stops nothing else.
//   - An answer whose own checksum covers a value (Content-Digest) no longer has it.
//   - The header with the value in it is an ordinary string of the garbage collector's: it
//     is overwritten when it is, while the value itself is kept in memory of its own, which is
//     in no core dump, and overwritten by Close. The caller's environment is as it was.
//   - The search takes linear time for values that do not repeat themselves over and over.
package credential
