// Package view serves the project to a sandbox: a FUSE file system of our own in
// which every name is judged, so that secrets do not exist, what would execute
// on the host by itself stays in the project's shadow, and everything else is
// written through at once.
//
// # Model
//
// [Start] runs the server as a process of its own (our binary again, dispatched
// by [Reexec]). The backend mounts one FUSE file system per entry of
// Plan.Workspace.Views inside the sandbox's user and mount namespace and hands the
// device over by [Server.Serve]. The mount needs
//
//	mount("belljar", TARGET, "fuse.belljar", MS_NOSUID|MS_NODEV,
//	    "fd=N,rootmode=40000,user_id=U,group_id=G,default_permissions,max_read=1048576")
//
// with /dev/fuse opened inside that user namespace, U and G as seen inside, and
// MS_RDONLY as well for a view or mode that is read-only (the server refuses writes
// in any case, but only the mount makes open(O_WRONLY) fail).
//
// Every name has a verdict from package workspace/rules: pass (the host's), hide
// (the host's entry does not exist; what the agent makes is private), hold (changes
// go to the shadow) or deny. A name is judged when it is looked up and again when
// its data is opened; every access walks from the root without following symbolic
// links and compares the inode. In mode review everything is held, in mode
// readonly every change is EROFS.
//
// What the kernel has cached stays valid because directories that it has looked
// into are watched (fanotify, without privilege): a change made on the host is seen
// inside within milliseconds, and one that makes no event there (through memory, or by
// another name of the file elsewhere) after ten seconds; after at most two minutes in a
// file that had one name and had not changed for as long; after one second where watching
// is not possible.
//
// # Guarantees
//
//   - No held, hidden or denied name is made, changed, removed, renamed or linked on
//     the host by the sandbox; a directory whose rename would change what the names
//     below mean gives EXDEV, so that mv copies and each entry is judged.
//   - A write that was acknowledged is in the host's file (or the shadow's): nothing
//     is buffered here, a kill loses nothing and leaves no litter.
//   - Of what the run changes on the host, package before has what was there, before it is
//     touched first.
//   - A file with links that were not made here is separated from them before its
//     first change. Links that leave the tree are held.
//   - The bytes that a run adds to host and shadow are bounded: ENOSPC, and one event.
//     A private file is never longer than they would allow it to be filled: EFBIG.
//   - HEAD, index and packed-refs of a git directory that the host has are never
//     removed or renamed there, and replaced only by git's lock file with content
//     that git accepts; other content is held. A removal is held until then.
//   - The object store of the host is only added to: objects, packs and git-lfs's
//     contents that it has are never removed, replaced or written to, and new ones
//     arrive by a rename, when their content is what their name says. References and
//     logs are removed only while git's own lock for them exists. All else is private,
//     and forgotten by the next run.
//   - Every directory keeps the owner's permissions: chmod 0 gives 0700.
//   - Nothing is made, linked or moved deeper than 256 levels, nor to a path of more than
//     4095 bytes below the top: ENAMETOOLONG. What the host has deeper is served as all
//     else.
//
// # Limitations
//
// A program that makes object files under their final names instead of renaming
// them there (isomorphic-git does) makes private ones. That the names in the index of
// a new pack are those of its objects is not checked: git fsck does.
//
// A folder keeps rwx for its owner, whatever mode it is given: the server, which is
// nobody special, has to get into it, and so has the user afterwards.
//
// Locks are local to the sandbox: flock and fcntl locks are not seen by processes
// on the host. (The kernel does not tell a server that wants to hear of no open(2)
// when a lock's owner closes the file.) Extended attributes are those of users
// ("user."), without those that overlay file systems obey; those of a held directory
// cannot be changed. There is no O_TMPFILE, no
// O_DIRECT, no device nodes; FIFOs and sockets are private; set-user-ID and
// set-group-ID bits are dropped; RENAME_EXCHANGE works between two regular files
// that pass, RENAME_WHITEOUT never. A hard link gives EXDEV where one of its names is
// held, and so does the rename of a held directory that the host has. Two links to
// one file that an earlier run made are taken for foreign ones, and separated. Changes that the host makes through a shared
// mapping, or on another machine of a network file system, are seen after the
// timeout. The host renaming a directory in the microseconds between our walk and
// the call can redirect that one call below the same tree.
package view

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/view/internal/early"
)

// Argv0 is the name under which the server process runs.
const Argv0 = early.Argv0

// Options say what to serve.
type Options struct {
	// Plan names the views, the mode, the patterns, the shadow and the disk limit.
	Plan *belljar.Plan
	// Events is told of changes, refusals and the limit. Never nil.
	Events belljar.EventSink
}

// A Summary counts what happened to files so far.
type Summary struct {
	Passed  int // paths changed on the host
	Held    int // paths changed in the shadow only
	Refused int // calls refused by a rule
	// FirstHeld are the first few held paths, with class and reason; UserRun are
	// the first few passed ones that run when the user calls them.
	FirstHeld []belljar.FileEvent
	UserRun   []belljar.FileEvent
}
