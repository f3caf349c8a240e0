package policy

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// GivenAway says in plain words, a line each, what the project's file does with the
// user's credentials once it is trusted, and cannot do before: requests that one is put
// into, values and places of the host that are handed in, keys of others that pass. It looks at the runs of
// every known agent and at others; flags, which may give a credential only for one run,
// are not looked at, so what the file says of a name that nobody has is told as well.
//
// hash is that of the bytes that the user sees ([ReadProject]); a file that is another
// one by now is an error, and so is one with faults, as for [Load].
func GivenAway(o LoadOptions, hash string) ([]string, error) {
	o.Flags, o.Presets, o.PolicyFile = Flags{}, nil, ""
	l := loader{o: &o, paths: newPaths(&o)}
	if err := l.read(0); err != nil {
		return nil, err
	}
	if l.project == nil || l.project.src.hash() != hash {
		return nil, &belljar.Error{Op: "read policy", ID: o.ProjectFile, Kind: belljar.KindConflict, Err: errors.New("it changed meanwhile"), Hint: "look at it again"}
	}
	if len(l.faults) > 0 {
		return nil, l.broken()
	}
	g := giveaway{work: newWork()}
	for _, p := range Presets() {
		for _, c := range p.Commands {
			o.Command = c
			g.look(&l)
		}
	}
	o.Command = "" // last: what an agent has is told as that
	g.look(&l)
	if g.work.over {
		g.tell("has patterns that take too long to compare with your policy: what is said here of requests may be more than it does")
	}
	return g.lines, nil
}

// A giveaway gathers the lines, each once.
type giveaway struct {
	known []string // credentials that some run has without the project
	lines []string
	work  *work
}

func (g *giveaway) tell(line string) {
	if !slices.Contains(g.lines, line) {
		g.lines = append(g.lines, line)
	}
}

// look compares a run without the project with the one where it is trusted.
func (g *giveaway) look(l *loader) {
	without, with := newState(), newState()
	without.work, with.work = g.work, g.work
	l.presets(without, false)
	mergeDocument(without, l.user)
	l.presets(with, true)
	mergeDocument(with, l.user)
	extended := with.clone() // by the presets of the project's file, without its own entries
	mergeDocument(with, l.project)
	for _, c := range without.credentials {
		g.known = append(g.known, c.value.Name)
	}
	for _, c := range with.credentials {
		n, had := without.credential(c.value.Name)
		_, has := extended.credential(c.value.Name) // in every run, where the user has a value
		switch {
		case had && beyond(with.work, c.value, without.credentials[n].value) != "":
			g.tell("sends " + c.value.giving() + " (without trust: " + without.credentials[n].value.place() + ")")
			g.rules(without.credentials[n].value, without, with)
		case had:
			g.rules(c.value, without, with)
		case has:
			g.tell("sends " + c.value.giving() + ", where you have it")
		case !slices.Contains(g.known, c.value.Name):
			g.tell("sends " + c.value.giving() + ", in runs where a flag gives that credential")
		}
	}
	g.files(l, without, with)
	g.commands(l, without, with)
	for _, i := range l.project.push.items {
		if p := (gitRule{push: true}); gives(i.value) && !p.covers(without, i.value) {
			g.tell("lets the sandbox push to " + printable(repoText(i.value)) + ": " + printable(strings.Join(i.value.Git.Push, ", ")))
		}
	}
	if l.project.llm.clears() && len(without.llm) > 0 {
		g.tell("takes away what confines requests to models, their budgets too")
	}
	for _, i := range l.project.pass.items {
		if !slices.ContainsFunc(without.pass, func(p item[string]) bool { return p.value == i.value }) {
			g.tell("hands the sandbox the real value of your variable " + i.value)
		}
	}
	for _, i := range l.project.set.items {
		n, ok := without.credential(i.value.name)
		if old, set := without.set[i.value.name]; ok && (!set || old.value != i.value.value) {
			g.tell("sets " + i.value.name + " itself: your credential is not used then, and any key may go " + without.credentials[n].value.to())
		}
	}
}

// secretPlaces are below HOME, where programs of the host keep credentials.
func secretPlaces() []string {
	return []string{
		".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".config/gh", ".config/git/credentials", ".git-credentials", ".netrc", ".npmrc", ".pypirc",
		".cargo/credentials.toml", ".m2/settings.xml", ".docker/config.json", ".kube", ".claude", ".codex", ".gemini",
		".op", ".config/op", ".config/1Password", ".password-store", ".vault", ".vault-token", ".config/Bitwarden CLI", ".local/share/keyrings", "Library/Keychains",
		".config/lpass", ".local/share/lpass", ".config/keepassxc", ".config/sops", ".doppler", ".infisical",
	}
}

// files tells of paths that become visible and hold such a place, or lie in one.
func (g *giveaway) files(l *loader, without, with *state) {
	seen := pathCovers(without.read, without.write)
	for _, i := range slices.Concat(with.read, with.write) {
		for _, s := range secretPlaces() {
			place := filepath.Join(l.paths.home, s)
			in := func(name string) bool { return within(place, name) || within(name, place) }
			if l.paths.home != "" && !seen(i.value) && slices.ContainsFunc(both(i.value), in) {
				g.tell("shows the sandbox " + printable(i.value) + ", where credentials are kept: ~/" + s)
			}
		}
	}
}

// commands tells of folders of the user that become writable while a credential comes
// from a command: nobody can list what a program obeys. What is known is refused, see
// [obeyedBelowHome].
func (g *giveaway) commands(l *loader, without, with *state) {
	writable := pathCovers(without.write)
	for _, i := range with.write {
		if writable(i.value) || l.paths.home == "" || !within(real(i.value), real(l.paths.home)) {
			continue
		}
		for _, c := range with.credentials {
			if argv := c.value.From.Command; len(argv) > 0 {
				g.tell("lets the sandbox write " + printable(i.value) + ": make sure that the command " + printable(argv[0]) + ", which gives " + c.value.Name + ", keeps nothing there that it obeys")
			}
		}
	}
}

// giving is what goes where.
func (g grant) giving() string { return g.Name + " " + g.place() }

// place is where the value goes, and in which requests.
func (g grant) place() string {
	s := g.to()
	switch g.Form {
	case belljar.FormHeader:
		s += " in header " + strings.ToLower(g.Header)
	case belljar.FormBasic:
		s += " in header authorization (basic, user " + printable(g.User) + ")"
	default:
		s += " in header authorization (bearer)"
	}
	if len(g.Methods)+len(g.Paths) > 0 {
		s += ", only" + g.requests().text()
	}
	return s
}

func (g grant) to() string {
	if len(g.Hosts) == 0 {
		return "to the hosts that the flag names"
	}
	return "to " + strings.Join(hostWords(g.Hosts), ", ")
}
