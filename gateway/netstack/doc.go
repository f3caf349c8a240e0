// Package netstack is the far end of a sandbox's link: a TCP/IP stack in user
// space that takes every packet, whatever its destination, and hands each
// connection attempt to its owner before the handshake is answered.
//
// The model: a [Stack] owns one [belljar.Link]. A filter looks at each packet
// first and lets through TCP, UDP and echo requests to the gateway's own
// address, from the guest's own address only; fragments, IP options, extension
// headers and every other protocol end there and are reported. A TCP connection
// attempt becomes a [Request], which is accepted or refused by its receiver in
// its own time. UDP goes to sockets made with [Stack.ListenUDP]; all else is
// reported and answered "port unreachable".
//
// Writing to the link blocks while the sandbox does not read: nothing is
// dropped on our side, so that bulk transfers do not stall on retransmission.
//
// # Limitations
//
// Linux only: elsewhere [New] returns an error. The stack knows one guest, by
// its two addresses.
package netstack
