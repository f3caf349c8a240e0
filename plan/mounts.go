package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// A table holds mounts, one per target, and knows what they cover.
type table struct {
	byTarget map[string]belljar.Mount
	views    []string
}

func newTable() *table { return &table{byTarget: map[string]belljar.Mount{}} }

func (t *table) view(target string) { t.views = append(t.views, target) }

// covered says whether a view or a bind of the host at the same path already
// shows p.
func (t *table) covered(p string) bool {
	if underAny(p, t.views) {
		return true
	}
	for d := p; ; d = filepath.Dir(d) {
		if b, ok := t.byTarget[d]; ok {
			return b.Kind == belljar.MountBind && b.Source == b.Target
		}
		if d == "/" {
			return false
		}
	}
}

// add puts a mount into the table. A second one for the same target loses: what
// is added first is what the design fixes. What would lie behind a link is dropped:
// the link leads elsewhere. So is what would lie in a view: a view shows all that
// is in it, and nothing is ever mounted on top of it but another view.
func (t *table) add(m belljar.Mount) {
	if _, ok := t.byTarget[m.Target]; ok || underAny(m.Target, t.views) {
		return
	}
	for d := filepath.Dir(m.Target); d != "/"; d = filepath.Dir(d) {
		if t.byTarget[d].Kind == belljar.MountSymlink {
			return
		}
	}
	t.byTarget[m.Target] = m
}

// sorted lists the mounts, parents before children: component by component, so
// that "/a b" does not come between "/a" and "/a/b".
func (t *table) sorted() []belljar.Mount {
	out := make([]belljar.Mount, 0, len(t.byTarget))
	for _, k := range sortedKeys(t.byTarget) {
		out = append(out, t.byTarget[k])
	}
	slices.SortStableFunc(out, func(a, b belljar.Mount) int {
		return slices.Compare(splitPath(a.Target), splitPath(b.Target))
	})
	return out
}

// mounts fills the table: the tree around the project and the system's folders.
func (m *maker) mounts() {
	m.private()
	m.etc()
	m.hooks()
	m.carryCerts()
	m.toolchains()
	m.home()
	m.links()
}

// system are the folders of the system, read-only.
func (m *maker) system() {
	for _, s := range m.f.System {
		if s.Link != "" {
			m.t.add(belljar.Mount{Kind: belljar.MountSymlink, Target: s.Path, Content: s.Link, Why: "as on the host"})
			continue
		}
		m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: s.Path, Target: s.Path, ReadOnly: true, Private: true,
			Why: "programs and libraries of the system"})
	}
}

// private are the places that belong to the sandbox alone. Memory is sized above
// the memory limit, so that the limit ends the run with a message, not ENOSPC.
func (m *maker) private() {
	size := m.w.limits.Memory + m.w.limits.Memory/4
	for _, d := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		m.t.add(belljar.Mount{Kind: belljar.MountTmpfs, Target: d, Perm: 0o1777, Size: size, Why: "private, counts as memory"})
	}
	m.t.add(belljar.Mount{Kind: belljar.MountProc, Target: "/proc", Why: "the sandbox's own processes"})
	m.t.add(belljar.Mount{Kind: belljar.MountDev, Target: "/dev", Why: "no device of the host"})
	if ablate.Off(ablate.Mounts) {
		m.t.byTarget["/run"] = belljar.Mount{Kind: belljar.MountBind, Source: "/run", Target: "/run", Why: "ablation"}
	}
	for _, d := range []string{"/run", "/var", "/mnt", "/srv", "/home", "/etc"} {
		if slices.ContainsFunc(m.f.Links, func(l Link) bool { return l.Path == d }) {
			continue // a link on this host: /home is /var/home
		}
		m.t.add(belljar.Mount{Kind: belljar.MountDir, Target: d, Perm: 0o755, Why: "empty"})
	}
}

// etc is the allow-list and what is made in place of the host's own files.
func (m *maker) etc() {
	if ablate.Off(ablate.Etc) {
		m.t.byTarget["/etc"] = belljar.Mount{Kind: belljar.MountBind, Source: "/etc", Target: "/etc", ReadOnly: true, Why: "ablation"}
		return
	}
	for _, f := range m.madeEtc() {
		f.Kind, f.ReadOnly, f.Perm = belljar.MountFile, true, 0o444
		m.t.add(f)
	}
	for _, e := range m.f.Etc {
		if m.t.covered(e.Path) {
			continue // files.read shows the folder around it
		}
		switch {
		case e.Link != "":
			m.t.add(belljar.Mount{Kind: belljar.MountSymlink, Target: e.Path, Content: e.Link, Why: "as on the host"})
		case e.Bind:
			m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: e.Real, Target: e.Path, ReadOnly: true, Private: true,
				Why: "settings of the system"})
		default:
			m.t.add(belljar.Mount{Kind: belljar.MountFile, Target: e.Path, Content: e.Content, ReadOnly: true, Perm: 0o444,
				Why: "settings of the system"})
		}
	}
}

// madeEtc are the files of /etc that say who and where this is: made anew, so
// that they tell nothing of the host.
func (m *maker) madeEtc() []belljar.Mount {
	id, host := m.p.Identity, m.p.Hostname
	passwd := "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	me := fmt.Sprintf("%s:x:%d:%d::%s:%s\n", field(id.User), id.UID, id.GID, field(id.Home), field(id.Shell))
	switch id.UID {
	case 0:
		passwd = strings.Replace(passwd, "root:x:0:0:root:/root:/bin/sh\n", me, 1)
	case 65534:
	default:
		passwd += me
	}
	if id.GID != 0 && id.GID != 65534 {
		group += fmt.Sprintf("%s:x:%d:\n", field(id.User), id.GID)
	}
	return []belljar.Mount{
		{Target: "/etc/passwd", Content: passwd, Why: "only you"},
		{Target: "/etc/group", Content: group, Why: "only you"},
		{Target: "/etc/hostname", Content: host + "\n", Why: "the sandbox's name"},
		{Target: "/etc/hosts", Content: "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + host + "\n", Why: "nothing of the host's"},
		{Target: "/etc/resolv.conf", Content: "nameserver " + belljar.GatewayIPv4.String() + "\noptions edns0\n", Why: "the gateway answers names"},
		{Target: "/etc/nsswitch.conf", Content: "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n", Why: "files and the gateway only"},
		{Target: "/etc/machine-id", Content: strings.Repeat("0", 32) + "\n", Why: "not the host's"},
		{Target: "/etc/gitconfig", Content: m.gitConfig(), Why: "your name for commits, nothing else of your settings"},
	}
}

// field is s as a field of passwd: what would end it is dropped.
func field(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ':' || r == '\n' || r == '\r' || r == 0 {
			return -1
		}
		return r
	}, s)
}

// gitConfig is the system's git configuration inside. safe.directory is needed
// because the project may belong to another uid inside; checkStat because inode
// numbers differ from the host's, and git would read every file again.
func (m *maker) gitConfig() string {
	var b strings.Builder
	g := m.f.Git
	// A user without a git identity still gets commits: the names say where they come from.
	b.WriteString("[user]\n")
	writeGitValue(&b, "name", m.gitName())
	writeGitValue(&b, "email", m.gitEmail())
	if g.Branch != "" {
		b.WriteString("[init]\n")
		writeGitValue(&b, "defaultBranch", g.Branch)
	}
	b.WriteString("[core]\n\tcheckStat = minimal\n[safe]\n\tdirectory = *\n")
	m.writeGitHelpers(&b)
	m.writeGitHosts(&b)
	m.writeGitSigning(&b)
	return b.String()
}

// writeGitHosts lets remotes by ssh reach the hosts of the policy's git by https, where
// the gateway can judge what is asked for. Nothing inside has a key for ssh.
func (m *maker) writeGitHosts(b *strings.Builder) {
	var hosts []string
	for _, r := range m.p.Network.Rules {
		if r.Git != nil && r.Host != belljar.Localhost && slices.Contains(r.Ports, 443) && !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
			b.WriteString("[url \"https://" + r.Host + "/\"]\n")
			writeGitValue(b, "insteadOf", "git@"+r.Host+":")
			writeGitValue(b, "insteadOf", "ssh://git@"+r.Host+"/")
			writeGitValue(b, "insteadOf", "ssh://git@"+r.Host+":22/")
		}
	}
}

func writeGitValue(b *strings.Builder, key, value string) {
	if value == "" {
		return
	}
	v := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(value)
	b.WriteString("\t" + key + " = \"" + v + "\"\n")
}

// roots are what PATH and the command need.
func (m *maker) roots() []Root {
	var all []Root
	for _, e := range m.f.Path {
		if e.Left == "" {
			all = append(all, e.Roots...)
		}
	}
	return append(all, m.f.Command.Roots...)
}

// projectViews serves those roots by name in which somebody works.
func (m *maker) projectViews() {
	for _, r := range m.roots() {
		if r.Project && !m.t.covered(r.Path) {
			m.addView(belljar.View{Source: r.Path, Target: r.Path, ReadOnly: true})
		}
	}
}

// toolchains are the roots, each at its own path.
func (m *maker) toolchains() {
	all := m.roots()
	// Parents first, so that what lies in them adds nothing.
	slices.SortStableFunc(all, func(a, b Root) int { return slices.Compare(splitPath(a.Path), splitPath(b.Path)) })
	for _, r := range all {
		if m.t.covered(r.Path) {
			continue
		}
		m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: r.Path, Target: r.Path, ReadOnly: true, Private: true, Why: r.Why})
	}
}

// home is the private HOME with what is kept in it per project: sessions of
// agents, and one cache for all tools.
func (m *maker) home() {
	home, project := m.p.Identity.Home, m.keptDir()
	why := "private, thrown away at the end"
	if m.f.Named {
		why = "private, kept for this name"
	}
	source := HomeDir(m.f)
	if ablate.Off(ablate.Home) {
		source = m.f.Home
	}
	m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: source, Target: home, Perm: 0o700, Private: true, Why: why})
	m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: filepath.Join(project, "cache"), Target: filepath.Join(home, ".cache"),
		Perm: 0o700, Private: true, Why: "caches of tools, kept per project"})
	for _, s := range m.w.sessions {
		rel := filepath.Clean(s)
		if !localPath(rel) {
			continue // a preset's; the policy has checked it
		}
		m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: filepath.Join(project, "sessions", rel),
			Target: filepath.Join(home, rel), Perm: 0o700, Private: true, Why: "sessions, kept per project"})
	}
}

// links makes the links again by which programs and the project are reached,
// where nothing that is mounted has them already.
func (m *maker) links() {
	all := append(slices.Clone(m.f.Links), m.f.Command.Links...)
	for _, l := range all {
		if m.t.covered(l.Path) {
			continue
		}
		m.t.add(belljar.Mount{Kind: belljar.MountSymlink, Target: l.Path, Content: l.Text, Why: "as on the host"})
	}
	// A link that stands where something is mounted below would hide it.
	for _, l := range all {
		if b, ok := m.t.byTarget[l.Path]; ok && b.Kind == belljar.MountSymlink && m.t.occupied(l.Path) {
			delete(m.t.byTarget, l.Path)
		}
	}
}

// occupied says whether something is mounted or served below p.
func (t *table) occupied(p string) bool {
	below := func(x string) bool { return x != p && under(x, p) }
	if slices.ContainsFunc(t.views, below) {
		return true
	}
	for x := range t.byTarget {
		if below(x) {
			return true
		}
	}
	return false
}
