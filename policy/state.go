package policy

import (
	"sync"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/secrets"
)

// tierAuto lets belljar choose the tier.
const tierAuto = "auto"

// A state is what the layers so far come to.
type state struct {
	tier item[string]
	mode item[belljar.Mode]

	read, write []item[string]
	hide, hold  []item[string]
	landing     []item[string] // workspace.pass
	registries  []item[string]
	rules       []item[belljar.NetRule]
	publish     []item[uint16]
	setup       []item[string] // lines, in order
	setupRules  []item[belljar.NetRule]
	fetch, push []item[belljar.NetRule] // of git: one port each, with Git
	llm         []item[belljar.LLMRule]
	sign        item[string]
	otlp        *item[OTLP]   // nil: none
	records     *item[int64]  // nil: any size
	notify      *item[Notify] // nil: none
	limits      map[string]item[int64]
	pass        []item[string]
	set         map[string]item[string]
	credentials []item[grant] // one per name

	commands       [3][]item[command] // allow, ask, deny
	commandContext item[belljar.CommandContext]

	tiers    []string // strongest first; empty: not known
	presets  []item[string]
	home     []item[HomeFile]
	sessions []item[string]

	work *work // of the load; clones share it
}

// newState is the layer "default".
func newState() *state { return defaultState().compared() }

// compared is a clone whose comparisons are its own.
func (s *state) compared() *state {
	c := s.clone()
	c.work = newWork()
	return c
}

// defaultState is made once and only cloned.
var defaultState = sync.OnceValue(func() *state {
	src := newSource(layerDefault, "", "", nil)
	at := mark{src: src}
	s := &state{
		tier:   item[string]{tierAuto, at},
		mode:   item[belljar.Mode]{belljar.ModeLive, at},
		sign:   item[string]{SignNone, at},
		limits: map[string]item[int64]{},
		set:    map[string]item[string]{},
	}
	for _, n := range limitNames() {
		s.limits[n] = item[int64]{limitKindOf(n).preset, at}
	}
	for _, g := range secrets.Patterns() {
		s.hide = append(s.hide, item[string]{g, at})
	}
	for _, v := range defaultPass() {
		s.pass = append(s.pass, item[string]{v, at})
	}
	return s
})

// clone copies s, so that a layer can be tried.
func (s *state) clone() *state {
	c := *s
	c.read, c.write = append(c.read[:0:0], s.read...), append(c.write[:0:0], s.write...)
	c.hide, c.hold = append(c.hide[:0:0], s.hide...), append(c.hold[:0:0], s.hold...)
	c.landing = append(c.landing[:0:0], s.landing...)
	c.registries = append(c.registries[:0:0], s.registries...)
	c.rules = append(c.rules[:0:0], s.rules...)
	c.fetch, c.push = append(c.fetch[:0:0], s.fetch...), append(c.push[:0:0], s.push...)
	c.llm = append(c.llm[:0:0], s.llm...)
	c.setup, c.setupRules = append(c.setup[:0:0], s.setup...), append(c.setupRules[:0:0], s.setupRules...)
	c.publish = append(c.publish[:0:0], s.publish...)
	c.pass = append(c.pass[:0:0], s.pass...)
	c.credentials = append(c.credentials[:0:0], s.credentials...)
	c.presets = append(c.presets[:0:0], s.presets...)
	c.home = append(c.home[:0:0], s.home...)
	c.sessions = append(c.sessions[:0:0], s.sessions...)
	for i := range s.commands {
		c.commands[i] = append(c.commands[i][:0:0], s.commands[i]...)
	}
	c.limits = make(map[string]item[int64], len(s.limits))
	for k, v := range s.limits {
		c.limits[k] = v
	}
	c.set = make(map[string]item[string], len(s.set))
	for k, v := range s.set {
		c.set[k] = v
	}
	return &c
}
