// Package event keeps the record: what a sandbox did, as seen from outside.
//
// A record is made with [Create] when a sandbox starts, takes events through
// [Record.Record] from every part that sees something, and is closed by
// [Record.Close]. It is read with [Read] and [Follow], found with [Find] and
// [List], condensed with [Summarise], and judged with [Verify].
//
// # Model
//
// A record is one sequence of lines in records/ID/events.jsonl of the user's state and, where it is
// long, further files beside it, its segments: one JSON
// object a line, each with its number, the hash of the line before and its own
// hash, which covers every byte of the line in front of it. It is only ever
// appended to, by one process, which holds a lock on the first file for its whole life; after
// that process nobody writes to it again. A further file is moved into place with its first lines, which say
// where it belongs. Heads of records are kept in a second
// chained file, anchors, which all runs of the user share: at the start of a
// record, at its end, and, for a record whose process was killed, when the next
// one starts. The first event of a record names the head of the record that was
// closed last. So a changed byte, a missing, moved or foreign line, a cut tail and
// a missing record show.
//
// Every anchor is signed: by the user's [Key] when a record begins, by a key that only that
// record has while it is written, which also signs its head beside it once a second. So
// whoever writes a record or the anchors anew without the key shows. A [Witness] outside the
// state remembers where the anchors ended, so that a cut of both shows.
//
// Kinds that must not be lost are in the kernel before Record returns: they
// survive a kill of the process. Droppable kinds are batched in bounded memory
// and, under load, counted instead of written.
//
// # Limitations
//
// Whoever can read the user's key and write to the state and the witnesses can make
// records anew. The witness in the runtime folder ends with the machine: until the
// next run, the newest record can be removed together with the end of the anchors. Events are not
// forced to the disk: a power failure may lose the last seconds, and Verify then
// says that something is missing. Between the kill of a run and the start of the
// next one, a cut behind the last signed head of the killed record cannot be told from the kill.
// Bytes that are not UTF-8 are kept as \xNN in the strings of an event.
package event
