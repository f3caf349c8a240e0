package rules

// A Setting is one assignment of a git configuration, as git reads it.
type Setting struct {
	Section, Sub, Name string // Section and Name in lower case
	Value              string // without quotes and comments
}

// Settings reads a git configuration. What git would refuse is passed over.
func Settings(text string) []Setting {
	var out []Setting
	for _, s := range parseConfig(text) {
		out = append(out, Setting{s.section, s.sub, s.name, s.value})
	}
	return out
}
