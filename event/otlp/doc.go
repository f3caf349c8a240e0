// Package otlp sends records to an OpenTelemetry receiver: each event as a log record, each
// run and each execve as a span.
//
//	err := otlp.Enqueue(state, id, otlp.Destination{Endpoint: "https://otel.acme.dev:4318"})
//	err = otlp.Start(state)
//
// # Model
//
// The record on disk is the queue. What is to be sent is a small file in the state folder
// for each record (otlp/ID), with the destination and what the receiver has acknowledged. One
// process of the user, the sender, reads the records of all these files, sends what is new,
// and writes down what was acknowledged; a file goes when all of its record is there. The
// sender is started with a run, before that is confined, outlives it, and ends when nothing is
// left or its patience is over; the next command of the user starts another one. No
// sandbox waits for it.
//
// What is sent again after a crash has the same ids: log.record.uid of a log record
// (ID-SEQ), the span id of a span. A receiver that keeps one of each has everything once.
// Events of a record are sent in their order.
//
// Requests are OTLP over HTTP, protobuf, gzip. Answers that the protocol calls retryable, and
// no answer, are tried again after a growing pause, or the one that the receiver asks for.
// What the receiver calls bad data is split, and a single event that it does not take is
// counted and left out; any other refusal (401, 404) ends the attempt and loses nothing.
//
// # Limitations
//
// A record that is deleted before it was sent is not sent. The receiver sees what the record
// has, names and arguments from inside included: they are text, and may be anything. Spans
// of programs are made of execve and exit events: a tier that does not see them has none.
package otlp
