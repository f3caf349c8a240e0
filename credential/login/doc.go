// Package login knows the login files of agents: what their programs keep on the host
// after somebody has logged in with a subscription, what of it they need to find inside,
// and how their providers are asked for the next tokens.
//
//	k := login.Find("claude")
//	l, err := k.Read(file)               // the tokens: outside only
//	inside, err := k.StandIn(file, now)  // a file of the same shape, without a token
//
// # Model
//
// A login is an access token, which requests carry, and a refresh token, for which the
// provider gives the next pair. What is inside has neither: its access token is a
// stand-in, which the gateway replaces as it does any other credential, its refresh token
// is made of that (see [Refresh]), and is good for nothing but the gateway's own answer
// ([Endpoint]). Stand-ins do not rotate: programs inside that read the file at different
// times agree, and none of them is ever late.
//
// The package does no I/O. Everything of a provider is in one table, [Kinds].
//
// # Limitations
//
// Logins that a program keeps in a keyring, and those of the programs that [Refused]
// names, are not known.
package login
