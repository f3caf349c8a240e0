// Package notify tells the user, away from the terminal, that a run ended or that something
// waits for an answer: on the desktop (org.freedesktop.Notifications on the session's bus) and
// by a request to a webhook.
//
//	s, err := notify.Start(os.Environ(), notify.Options{Desktop: true, Ends: true, Say: print})
//	s.Tell(notify.Note{Event: notify.Ends, Sandbox: "quiet-otter", …})
//	err = s.Close()
//
// # Model
//
// For each way a process of its own, a notifier, is started with the run, before that is
// confined. It connects to the bus or opens the file with headers, and is confined then: it
// starts nothing and opens no file. The one with the connection to the bus, by which much can
// be done in the user's session, hears from the supervisor and the bus only; the one with the
// internet has nothing of the session. The supervisor writes notes to their pipes and never
// waits for them. They outlive it for a minute at most, and when it is killed they say so.
//
// What runs inside can ask as often as it likes; each way of telling takes three notes in
// a minute. What comes meanwhile is one note that says how many there are. The end of a run is never held back.
//
// A note has what belljar knows: the sandbox's name, host, port and method of a request, the
// name of a program. No path, query, argument or line of what is asked is in it: these
// may hold secrets, and belljar approve shows them. All of it is escaped and bounded.
//
// # Limitations
//
// A notification that could not be delivered after four attempts is lost; the question waits
// all the same. Whoever has the webhook's address can be told things by others too.
package notify
