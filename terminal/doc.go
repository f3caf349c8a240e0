// Package terminal stands between the sandbox and the user's terminal.
//
// Three things cross that border, each in its own way:
//
//   - strings that came from inside (names, argv, hosts) and are printed by
//     belljar itself go through [Escape] or [EscapeText], JSON through
//     [EscapeJSON];
//   - the byte stream of a command that runs in a terminal goes through a
//     [Filter], which knows the control sequences that programs need and drops
//     every other one;
//   - the three descriptors of the caller are relayed by a [Session]: none of
//     them enters the sandbox.
//
// # Model
//
// The filter is a parser of the VT500 family with an allow-list. Ordinary text,
// cursor movement, colours, the alternate screen, mouse modes and bracketed paste
// pass; what changes the user's machine (clipboard, notifications, files,
// printer, fonts), what makes the terminal type text that the sandbox chose
// (title reports, answer-back, setting strings and asking for them) and what
// reads the screen back is dropped and counted. A sequence is written whole or
// not at all, in its canonical 7-bit form, so that an end at any moment leaves the
// user's terminal between two sequences. The filter remembers which modes are on,
// so that they can be undone at the end.
//
// # Limitations
//
// The user's terminal is assumed to be in UTF-8 mode; in an 8-bit mode, bytes of
// ordinary UTF-8 text may be control codes. Ordinary text is not judged: bidi
// controls and look-alikes in the output of a program pass the filter (in strings
// that belljar prints they are escaped). A kill -9 of the supervisor leaves the
// terminal as it is; `reset` repairs it. Queries that programs need and whose
// answers are numbers made by the terminal (cursor position, device attributes,
// colours, modes) pass; their answers go to the sandbox.
package terminal
