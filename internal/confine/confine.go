// Package confine takes from the calling process what it no longer needs, all threads
// and for good: a program that parses bytes of somebody hostile does so afterwards with
// little that is worth taking over.
//
//	err := confine.Self(confine.Options{
//		Read:  []string{project},
//		Write: []string{scratch},
//		Calls: calls.Options{Internet: true},
//	})
//
// Afterwards the process starts no program, makes no memory executable, traces nobody and
// signals nobody but itself and what it holds a descriptor of; nobody of the same user
// traces it or reads its memory; it leaves no core. It opens no file but what it was
// allowed, by Landlock, and what is needed to reach the internet: see [System]. Descriptors
// that are open stay what they are, so what can be opened before should be.
//
// # Limitations
//
// Linux only. Landlock knows a file by its inode: a file that is replaced must be allowed
// by its folder. Names, sizes and modes of files can be read everywhere, and links
// followed. Once confined a process cannot look at /proc/PID/fd, maps, ns, exe and the
// like of any other process, its own children included. What the kernel lacks is left
// out, and told by [Enforcement]; it is never an error. A build with cgo makes no memory
// executable either, which plugins would need.
package confine

import "github.com/belljar-dev/belljar/internal/confine/calls"

// Options say what the process still needs. Paths that do not exist are left out; of
// folders everything below counts too.
type Options struct {
	Read   []string // files and folders to read
	List   []string // folders to list, not to read
	Write  []string // folders in which it may do everything but execute and make devices; files to read and write
	Remove []string // folders in which entries are removed, not read or written
	Into   []string // folders into which files are moved from those of Write: not read, written, replaced or removed there
	Calls  calls.Options
}

// System are the files from which a Go program takes names, roots of certificates and
// time zones, whenever it needs them; env looks up a variable of its environment.
func System(env func(string) string) []string { return system(env, resolvConf) }

const resolvConf = "/etc/resolv.conf"
