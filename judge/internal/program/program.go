// Package program reads programs that are written inside a shell line in the languages
// of awk and sed, and lists what they run, read and write.
//
// # Limitations
//
// It finds what is written as literal text. Whatever it does not understand, and
// whatever is computed, is reported as [Unknown].
package program

// A Kind is what a program does with a text.
type Kind uint8

// Kinds of what a program does.
const (
	Run     Kind = iota // a shell line is run
	Read                // a file is read
	Write               // a file is written
	Unknown             // something that cannot be known; Text says what
)

// A Deed is one thing that a program does.
type Deed struct {
	Kind Kind
	Text string
}
