package shell

import "strings"

// A field is one argument as far as it is known: text in which these bytes stand for
// what is not known. They cannot occur in a line, which [Check] sees to.
const (
	Star = '\x01' // of a glob: any text of one name
	One  = '\x02' // of a glob: one character of a name
	Any  = '\x03' // any text, and unquoted any number of arguments
	Name = '\x04' // text without slash, blank, leading dash and leading dot: a number, a date, a hash
	File = '\x05' // text of a path that does not begin with a slash or dash and does not lead up
	Net  = '\x06' // any text that came from the network
)

// Static says whether a field is known completely.
func Static(f string) bool {
	for i := range len(f) {
		if f[i] >= Star && f[i] <= Net {
			return false
		}
	}
	return true
}

// Unknown says whether a field holds text that may be anything.
func Unknown(f string) bool { return strings.IndexByte(f, Any) >= 0 || strings.IndexByte(f, Net) >= 0 }

// MayBeOption says whether a field may turn out to begin with a dash, or to be
// several arguments.
func MayBeOption(f string) bool { return f != "" && (f[0] == Any || f[0] == Net) }

// FromNet says whether a field holds text from the network.
func FromNet(f string) bool { return strings.IndexByte(f, Net) >= 0 }

// Show is a field for people.
func Show(f string) string {
	if Static(f) {
		return f
	}
	return strings.NewReplacer("\x01", "*", "\x02", "?", "\x03", "…", "\x04", "…", "\x05", "FILE", "\x06", "…").Replace(f)
}
