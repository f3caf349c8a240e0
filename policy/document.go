package policy

import "github.com/belljar-dev/belljar"

// An item is a value with the place where it was written.
type item[T any] struct {
	value T
	mark
}

// A list is what one key of one layer says. A list that is written as [] takes
// away what the layers below allow.
type list[T any] struct {
	set   bool
	mark  mark // of the key
	items []item[T]
}

func (l list[T]) clears() bool { return l.set && len(l.items) == 0 }

// A setting is an environment variable with its value.
type setting struct{ name, value string }

// A document is one layer as it was written, every value canonical.
type document struct {
	src *source

	extends     list[string]
	tier        *item[string]
	mode        *item[belljar.Mode]
	read, write list[string]
	hide, hold  list[string]
	landing     list[string] // workspace.pass
	registries  list[string]
	allow       list[belljar.NetRule]
	publish     list[uint16]
	fetch, push list[belljar.NetRule]
	llm         list[belljar.LLMRule]
	sign        *item[string]
	otlp        *item[OTLP]
	records     *item[int64]
	notify      *item[Notify]
	limits      map[string]item[int64]
	pass        list[string]
	set         list[setting]
	credentials list[grant]
	setup       list[string]
	setupAllow  list[belljar.NetRule]
	// of commands.allow, commands.ask and commands.deny
	commandRules   [3]list[command]
	commandContext *item[belljar.CommandContext]

	// What only presets may say.
	about    string
	commands list[string]
	home     list[HomeFile]
	sessions list[string]
}

// A HomeFile is a file that a preset puts into a fresh HOME.
type HomeFile struct {
	Path    string         `json:"path"` // relative, below HOME, slashes
	Content string         `json:"content"`
	Origin  belljar.Origin `json:"origin"`
}
