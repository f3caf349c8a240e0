// Package verify proves on the user's own host what a sandbox stops: it attacks
// one from inside and looks from outside at what came through.
//
// # Model
//
// [Run] starts two worlds: throw-away user, mount, PID, IPC, UTS and network
// namespaces in which HOME, /tmp and /run are fresh memory with planted decoys,
// everything else of the host is read-only, and a second network namespace plays
// the internet. In one of them a sandbox is started by the code path of belljar
// run, and the attacker (this very program in another role) runs in it. In the
// other one, the control, the same attacker runs without a sandbox: there every
// attack must succeed, else it proves nothing and its row is not judged.
//
// A row is judged from outside wherever its effect can be seen there: a server of
// the internet or a decoy socket was reached, a planted secret of random text came
// out, a file of the host changed, a program that a developer would run next (git,
// npm, make, direnv, an editor's task) ran the payload, a kernel object exists in
// /proc of the host. What the attacker says is believed only where nothing can be
// seen; it is parsed as hostile.
//
// Nothing outside the worlds is written, connected to or signalled. They are gone
// with their first process, whatever kills it or this one.
//
// # Limitations
//
// A row proves that one attack fails here and now, not that all of its kind do.
// What needs a daemon of the host (a container engine) cannot be compared by
// --command: no socket of the host is reachable in a world. Attacks on the host's
// kernel proper are limited to reaching interfaces; no vulnerability is exploited.
package verify
