package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/belljar-dev/belljar/internal/self"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A likeness says for which runs a warm sandbox is: those with the same key and proof. It
// is made from scratch by both, from the policy, the host and the plan as they are then,
// so that nothing that changed in between is used as it was.
type likeness struct {
	key   string   // of everything but secrets
	proof string   // of the secrets that are used, by key
	own   []string // texts of one sandbox alone
	env   []string // of the command, with placeholders for own
}

// notPooled says why a run of p is never one of a sandbox that is warm.
func (p *prepared) notPooled(f *planFlags) error {
	switch {
	case f.name != "" || f.called != "":
		return errors.New("its name, and the HOME that is kept under it, are part of the start")
	case f.detach:
		return errors.New("it has no caller")
	case p.plan.Workspace.Mode == belljar.ModeWorktree:
		return errors.New("each run has a worktree of its own")
	case f.keep:
		return errors.New("what is kept is part of the start")
	case p.rings():
		return errors.New("its policy rings the bell of the caller's terminal")
	case p.facts.Signing != "":
		return errors.New("its key for git is told before it runs")
	case len(p.plan.Setup) > 0:
		return errors.New("its policy has steps of setup, which belong to a run")
	}
	return nil
}

// likeness is that of a sandbox for p.
func (p *prepared) likeness(h *host) (likeness, error) {
	l := likeness{own: p.own()}
	if len(l.own) > api.MaxOwn {
		return l, fmt.Errorf("it has %d stand-ins", len(l.own))
	}
	var pairs, quoted []string
	for i, s := range l.own {
		pairs = append(pairs, s, api.Placeholder(i))
		q, err := json.Marshal(s)
		if err != nil {
			return l, err
		}
		quoted = append(quoted, string(q[1:len(q)-1]), api.Placeholder(i)) // as it is in JSON
	}
	placeholders := strings.NewReplacer(pairs...)
	for _, e := range p.plan.Env {
		l.env = append(l.env, placeholders.Replace(e))
	}
	c := *p.plan
	c.ID, c.Name, c.Hostname, c.Command, c.Env, c.Notes = "", "", "", belljar.Exec{}, nil, nil
	made, err := json.Marshal(&c)
	if err != nil {
		return l, err
	}
	about, err := json.Marshal(p.surroundings(h))
	if err != nil {
		return l, err
	}
	sum := sha256.New()
	put(sum, belljar.Version, strings.NewReplacer(quoted...).Replace(string(made)), string(about), p.policy.Hash(), fmt.Sprint(len(l.own)))
	l.key = hex.EncodeToString(sum.Sum(nil))
	l.proof = p.proof(h, &l)
	return l, nil
}

// own are the texts that are made for each sandbox anew: longer ones first where they hold others.
func (p *prepared) own() []string {
	var all []string
	for _, s := range []string{p.facts.CA, p.facts.Signing} {
		if s != "" {
			all = append(all, s)
		}
	}
	for _, c := range p.plan.Network.Credentials {
		if c.StandIn != "" && !slices.Contains(all, c.StandIn) {
			all = append(all, c.StandIn)
			if one := p.logins.one(c.From.Login); one != nil && one.stand != nil {
				all = append(all, login.Refresh(c.StandIn, one.stand.Refresh))
			}
		}
	}
	return append(all, p.plan.ID, p.plan.Name)
}

// put writes words so that different lists have different bytes.
func put(w hash.Hash, words ...string) {
	for _, s := range words {
		fmt.Fprintf(w, "%d:%s", len(s), s)
	}
}

// Surroundings are what a plan does not tell of the host and of who asks.
type surroundings struct {
	Program, Root fileID
	Sources       map[string]fileID // of what is mounted and served, of certificates and credentials
	Ceiling       fileID            // of which a plan does not tell what may be allowed later
	Namespaces    []string
	Inherits      []string // from whoever calls
	Groups        []int
	GID           int
	AsRoot        bool
	Home          string
	Repositories  []rules.Repository
	Logins        []string
	Certs         []plan.Certs
}

// A fileID tells one file from another that took its place. Version tells contents apart,
// of what is read when a sandbox is made.
type fileID struct {
	Dev, Ino uint64
	Version  string `json:",omitempty"`
}

func identify(path string, contents bool) fileID {
	fi, err := os.Stat(path)
	if err != nil {
		return fileID{} // the plan says that it must be there, where it must
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	id := fileID{Dev: uint64(st.Dev), Ino: st.Ino}
	if contents {
		id.Version = fmt.Sprint(fi.Size(), fi.ModTime().UnixNano(), fi.Mode())
	}
	return id
}

func (p *prepared) surroundings(h *host) surroundings {
	s := surroundings{
		Program: identify("/proc/self/exe", true), Root: identify("/", false), Sources: map[string]fileID{},
		Ceiling: identify(ceilingFile, true), Inherits: inherits(), GID: os.Getgid(), AsRoot: rootid.StartedAsRoot(), Home: h.home, Repositories: p.repos, Certs: p.facts.Certs,
	}
	s.Groups, _ = os.Getgroups()
	slices.Sort(s.Groups)
	spaces := []string{"user", "net", "pid"}
	if !s.AsRoot { // which has a mount namespace in each process
		spaces = append(spaces, "mnt")
	}
	for _, ns := range spaces {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		s.Namespaces = append(s.Namespaces, fmt.Sprint(link, err))
	}
	for _, v := range p.plan.Workspace.Views {
		s.Sources[v.Source] = identify(v.Source, false)
	}
	for _, m := range p.plan.Mounts {
		// What is ours is made for the sandbox, or grows by it.
		if m.Source != "" && !within(m.Source, h.dirs.State) && !within(m.Source, h.dirs.Runtime) {
			s.Sources[m.Source] = identify(m.Source, false)
		}
	}
	read := slices.Concat(p.facts.Bundles, p.facts.JavaStores)
	for _, c := range p.plan.Network.Credentials {
		if c.From.File != "" {
			read = append(read, c.From.File)
		}
	}
	for _, path := range read {
		s.Sources[path] = identify(path, true)
	}
	if p.logins != nil {
		for _, one := range p.logins.all {
			s.Logins = append(s.Logins, one.kind.Name, one.file)
		}
	}
	return s
}

// proof is of what is secret: values of variables, those that our own processes obey, and
// all of the environment where commands are run with it.
func (p *prepared) proof(h *host, l *likeness) string {
	sum := hmac.New(sha256.New, []byte(l.key))
	put(sum, fmt.Sprintf("%#v", p.gateway.UpstreamAuth))
	put(sum, p.obeyed(h)...)
	for i, e := range p.public.Env {
		if i < len(l.env) && e != p.plan.Env[i] {
			put(sum, "env", l.env[i])
		}
	}
	commands := false
	for _, c := range p.plan.Network.Credentials {
		if c.From.Env != "" {
			put(sum, "credential", c.Name, c.From.Env, h.getenv(c.From.Env))
		}
		commands = commands || len(c.From.Command) > 0
	}
	if commands {
		env := slices.Clone(h.env)
		slices.Sort(env)
		for _, e := range env {
			switch name, _, _ := strings.Cut(e, "="); name {
			case "_", "SHLVL", "PWD", "OLDPWD":
			default:
				put(sum, "command", e)
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// obeyed are the variables by which our own processes reach the internet and the user:
// they are those of the sandbox's start.
func (p *prepared) obeyed(h *host) []string {
	more := []string{"ZONEINFO"}
	if n := p.policy.Notify(); n != nil && n.Desktop {
		more = append(more, "DBUS_SESSION_BUS_ADDRESS")
	}
	env := self.Environ(h.env, more...)
	slices.Sort(env)
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "LANG=") }) // the command's alone
}
