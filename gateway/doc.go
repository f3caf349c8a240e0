// Package gateway is the only way out of a sandbox. It takes over the sandbox's
// link, answers its DNS, accepts its connections, asks [belljar.Network.Decide],
// dials what it checked and records the outcome.
//
//	g, err := gateway.New(gateway.Options{Network: &plan.Network, Events: record, Name: plan.ID})
//	go g.Run(ctx)
//	spec.Attach = g.Attach
//
// # Model
//
// Names, not addresses. DNS on 198.18.0.1:53 answers a name that a rule mentions
// with an address of ours, which stands for that name as long as the gateway
// lives and is never given to another; it asks nobody. A connection to such an
// address is a connection to that name: port and name are decided, then the real
// name is resolved once, every answer passes the address guard, and only a
// checked address is dialled, before the handshake inside is answered. What is
// refused is "connection refused" inside, so programs fail at once.
//
// The guard knows addresses that are never dialled, whatever the policy says:
// loopback, link-local, metadata services, multicast, reserved ranges, this
// host's own addresses and what embeds one of them. Addresses of private networks
// need a rule with private: true or one that names them.
//
// A connection to port P of [belljar.LocalhostIPv4] or [belljar.LocalhostIPv6] is
// a connection to 127.0.0.1:P, then [::1]:P, of the host, for exactly the ports of
// the localhost rules. Inside, whatever listens on the loopback for such a rule
// (the tier's helper) forwards there. The names "localhost" and below it resolve
// to the sandbox's own loopback.
//
// Where [belljar.Network.Sees] says so (rules that confine requests, credentials), requests are seen.
// Nothing is dialled for such a connection before a request of it is allowed: TLS is
// ended with a certificate of [certs.Authority], offering HTTP/2 and HTTP/1 (HTTP/1 only
// where git may push), and each
// request is judged on its own, by TLS, in clear or through the proxy. SNI, Host and
// :authority must be the name that was connected to, the path is judged in its one
// spelling (package urlpath) and sent in it, [credential.Keys] put real keys in and take
// them out of answers. Requests share the connections to the outside by name, over
// HTTP/2 where the server has it, whatever the client speaks; servers must prove their
// name. Bodies, events, trailers, interim answers and WebSockets pass as they come. What
// is neither TLS nor HTTP/1 at its beginning is refused there. A refusal is an answer:
// 403 with reason, nearest rule and the line that would allow it; 421 for another name.
// Every request that is sent is on record, without its query. A query that a rule judges is
// sent in the one spelling in which it was judged; a rule's rate is counted for all clients
// inside together, and what a bounded answer has too much is never passed on.
//
// Of git's requests (rules with Git) the query of info/refs, the head of a fetch and the
// commands of a push are judged, and whether its pack shows fast-forwards (package
// git). A push that is refused is answered as git's servers do, so that git prints why.
// One of up to 1 MiB is read before anything is sent; of a larger one the last bytes are
// held back until it is judged, and the request is broken off where it is refused.
//
// Requests to the API of a model (rules with LLM) are judged by their bodies, which are read
// whole, and what they use is counted from the answers (package llm): a budget is reserved
// before a call and settled behind it. A refusal is an error of the API. The messages of a
// WebSocket are judged as requests are. Where a rule has an endpoint, http://llm.belljar/API/
// is its host, and judged the same.
//
// What any other connection carries is looked at as far as it is in clear. The first
// bytes decide: a ClientHello must carry exactly the name that was connected to;
// of HTTP, every request's Host must be that name; anything else passes
// unchanged, but not on ports 443 and 80, which speak TLS and HTTP only. A server
// that speaks first (SSH, SMTP, some databases) is not kept waiting.
//
// For programs that speak to a proxy there is one at 198.18.0.1:3128: HTTP
// (CONNECT and absolute form), SOCKS5 and SOCKS4a, told apart by the first byte,
// under the same decisions. The page http://policy.belljar/ says what is allowed
// and what was refused; http://policy.belljar/?host=NAME explains one name.
//
// A published port is listened to on an address 127.x.y.z of the host that
// belongs to this sandbox; connections reach what listens on 0.0.0.0 inside. What
// listens on the loopback inside only is not reached.
//
// # Limitations
//
// Where requests need not be seen TLS is passed through, so SNI is a promise about
// the front end: the Host header inside, an encrypted ClientHello (whose outer name
// is what is judged; real ones cannot be told from the grease that browsers send)
// and HTTP/2 in clear on ports other than 80 are not seen. The left-most label of an allowed wildcard can carry
// data to that domain's name servers, at most [NamesPerMinute] new names a
// minute. By a rule that names an address, any server name may be asked for at
// that address. The public address that a NAT in front of this host translates
// to, and translation prefixes of a network operator, are not known to the guard.
// A published port is reachable for every user of the host.
//
// Where requests are seen: HTTP/2 in clear, HTTP/3 and WebSocket over HTTP/2 are not
// offered; programs that pin certificates do not work; a malformed head of HTTP/2 is
// reset without a text. A rule that confines the requests of an address is refused,
// since an address has no requests that could be judged. An encoded slash is refused
// only where paths are judged. What is sent over a WebSocket is not judged: a path at
// which the policy allows reading only has none.
package gateway
