package backendtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

var fileCases = []tcase{
	{name: "mount/read-only", why: "a read-only mount cannot be written", run: func(t *testing.T, s *box) { s.fails("touch /usr/x") }},
	{name: "mount/root-read-only", why: "the root is not a place to write to", run: func(t *testing.T, s *box) { s.fails("touch /x"); s.fails("mkdir /x") }},
	{name: "mount/remount", why: "what is read-only stays so", run: func(t *testing.T, s *box) { s.fails("mount -o remount,rw /usr") }},
	{name: "mount/umount", why: "nothing that is mounted can be taken away to show what is below", run: func(t *testing.T, s *box) { s.fails("umount " + insideHome) }},
	{name: "mount/read-write", why: "a writable mount is the host's folder", run: readWrite},
	{name: "mount/host-edit", why: "what the host changes in the project is seen inside", run: hostEdit},
	{name: "mount/home", why: "HOME is writable and private", run: homeWritable},
	{name: "mount/owner", why: "files have the owner that the identity says", run: owner},
	{name: "mount/mode", why: "permissions pass through unchanged", run: modes},
	{name: "mount/file", why: "files of the plan have their content", run: func(t *testing.T, s *box) { s.want("cat /etc/secret-free", "content") }},
	{name: "mount/file-read-only", why: "files of the plan cannot be changed", run: func(t *testing.T, s *box) { s.fails("echo x >> /etc/passwd"); s.fails("rm /etc/passwd") }},
	{name: "mount/dir", why: "directories of the plan exist and are empty", run: func(t *testing.T, s *box) { s.want("ls -A /opt/empty; ls -d /opt/empty", "/opt/empty") }},
	{name: "mount/symlink", why: "links of the plan lead where they say, inside", plan: addLink, run: func(t *testing.T, s *box) {
		s.want("readlink /etc/link; cat /etc/link", "/etc/secret-free\ncontent")
	}},
	{name: "mount/tmpfs", why: "/tmp is private and writable", run: func(t *testing.T, s *box) { s.want("echo x > /tmp/f && cat /tmp/f", "x"); s.hostLacks("/tmp/f") }},
	{name: "mount/tmpfs-size", why: "memory file systems are bounded", run: func(t *testing.T, s *box) {
		s.fails("head -c 70000000 /dev/zero > /tmp/big; s=$?; rm -f /tmp/big; exit $s")
	}},
	{name: "mount/tmpfs-mode", why: "/tmp is sticky", run: func(t *testing.T, s *box) { s.want("stat -c %a /tmp", "1777") }},
	{name: "mount/nothing-else", why: "nothing of the host is there that the plan does not name", run: nothingElse},
	{name: "mount/below-read-only", why: "a writable mount may lie below a read-only one", plan: belowReadOnly, run: func(t *testing.T, s *box) {
		s.want("echo x > /usr/share/f && cat /usr/share/f", "x")
	}},
	{name: "mount/below-tmpfs", why: "a mount may lie below a memory file system", plan: belowTmpfs, run: func(t *testing.T, s *box) {
		s.want("cat /tmp/below/seen; cat /tmp/note", "yes\nnote")
		s.fails("touch /tmp/below/x")
	}},
	{name: "mount/links-below-tmpfs", why: "links of the plan lie anywhere below a memory file system", plan: linksBelowTmpfs, run: func(t *testing.T, s *box) {
		s.want("cd /tmp && cat a/b/real/seen a/b/beside a/up/real/seen top/seen && readlink a/up && touch own && ls -A", "yes\nyes\nyes\nyes\nb\na\nown\ntop")
		s.fails("touch /tmp/top/x")
	}},
	{name: "mount/single-file", why: "a single file can be mounted", plan: singleFile, run: func(t *testing.T, s *box) { s.want("cat /opt/one", "one") }},
	{name: "mount/nosuid-source-link", why: "a source below the workspace is not followed through a link", bare: true, view: true, need: []string{"fuse"}, run: linkedSource},
	{name: "files/mmap-exec", why: "programs can be built and executed in the project", run: func(t *testing.T, s *box) {
		s.want("cp /bin/echo "+insideProject+"/e && "+insideProject+"/e ok; rm "+insideProject+"/e", "ok")
	}},
	{name: "files/hard-links", why: "links work where the file system has them", run: func(t *testing.T, s *box) {
		s.want("cd "+insideProject+" && echo x > la && ln la lb && cat lb && stat -c %h la; rm -f la lb", "x\n2")
	}},
	{name: "files/rename", why: "a file replaced by a rename is the new one, on both sides", run: renames},
	{name: "files/lock", why: "flock works", need: []string{"flock"}, run: func(t *testing.T, s *box) {
		s.want("cd "+insideProject+" && flock -n lock echo locked; rm -f lock", "locked")
	}},
	{name: "view/served", why: "a view shows the project", view: true, run: viewServed},
	{name: "view/hidden", why: "a name that the view hides does not exist", view: true, run: viewHidden},
	{name: "view/appears", why: "a hidden name that appears later does not exist either", view: true, run: viewAppears},
	{name: "view/read-only", why: "a read-only view refuses writes", view: true, plan: func(p *belljar.Plan) { p.Workspace.Mode = belljar.ModeReadOnly }, run: func(t *testing.T, s *box) {
		s.fails("touch " + insideProject + "/x")
	}},
	{name: "view/only-it", why: "the real folder is not mounted anywhere", view: true, run: func(t *testing.T, s *box) {
		s.want("grep -c '"+s.project+"' /proc/self/mountinfo", "0")
		s.fails("ls " + s.project)
	}},
}

func (s *box) hostLacks(file string) {
	s.t.Helper()
	if _, err := os.Lstat(file); err == nil {
		if b, _ := os.ReadFile(file); string(b) == "x\n" {
			s.t.Errorf("%s appeared on the host", file)
		}
	}
}

func readWrite(t *testing.T, s *box) {
	s.write(s.project, "in", "from host")
	s.want("cd "+insideProject+" && cat in && echo from inside > out", "from host")
	if got := s.read(s.project, "out"); got != "from inside\n" {
		t.Errorf("the host reads %q", got)
	}
}

func hostEdit(t *testing.T, s *box) {
	s.write(s.project, "edit", "one")
	s.want("cat "+insideProject+"/edit", "one")
	s.write(s.project, "edit", "two, longer")
	s.want("cat "+insideProject+"/edit", "two, longer")
	if err := os.Remove(filepath.Join(s.project, "edit")); err != nil {
		t.Fatal(err)
	}
	s.fails("cat " + insideProject + "/edit")
	s.write(s.project, "edit", "three")
	s.want("cat "+insideProject+"/edit", "three")
}

func homeWritable(t *testing.T, s *box) {
	s.want("cd && mkdir -p .config/x && echo y > .config/x/f && cat .config/x/f", "y")
	if got := s.read(s.home, ".config/x/f"); got != "y\n" {
		t.Errorf("the host reads %q", got)
	}
}

func owner(t *testing.T, s *box) {
	s.want("id -u; id -g; touch "+insideProject+"/own; stat -c %u:%g "+insideProject+"/own",
		itoa(s.plan.Identity.UID)+"\n"+itoa(s.plan.Identity.GID)+"\n"+itoa(s.plan.Identity.UID)+":"+itoa(s.plan.Identity.GID))
}

func modes(t *testing.T, s *box) {
	s.want("cd "+insideProject+" && touch m && chmod 741 m && stat -c %a m", "741")
	if fi, err := os.Stat(filepath.Join(s.project, "m")); err != nil || fi.Mode().Perm() != 0o741 {
		t.Errorf("the host sees %v, %v", fi, err)
	}
}

func addLink(p *belljar.Plan) {
	p.Mounts = append(p.Mounts, belljar.Mount{Kind: belljar.MountSymlink, Target: "/etc/link", Content: "/etc/secret-free"})
}

func nothingElse(t *testing.T, s *box) {
	allowed := map[string]bool{"bin": true, "sbin": true, "lib": true, "lib32": true, "lib64": true, "libx32": true, "usr": true,
		"etc": true, "opt": true, "proc": true, "dev": true, "tmp": true, "home": true, "run": true, "sys": true}
	for _, name := range lines(s.sh("ls -A /").out) {
		if !allowed[name] {
			t.Errorf("/%s exists", name)
		}
	}
	s.want("ls -A /etc", "passwd\nsecret-free")
	s.want("ls -A /sys 2>/dev/null", "")
	s.want("ls -A /home", "agent")
	if r := s.sh("ls -A /run"); r.out != "" && r.out != "belljar\n" {
		t.Errorf("/run holds %q", r.out)
	}
}

func belowReadOnly(p *belljar.Plan) {
	src := p.Mounts[len(p.Mounts)-2].Source // HOME
	p.Mounts = append(p.Mounts, belljar.Mount{Kind: belljar.MountBind, Source: src, Target: "/usr/share", Private: true})
}

func belowTmpfs(p *belljar.Plan) {
	src := p.Mounts[len(p.Mounts)-2].Source
	_ = os.WriteFile(filepath.Join(src, "seen"), []byte("yes\n"), 0o600)
	p.Mounts = append(p.Mounts,
		belljar.Mount{Kind: belljar.MountBind, Source: src, Target: "/tmp/below", ReadOnly: true, Private: true},
		belljar.Mount{Kind: belljar.MountFile, Target: "/tmp/note", Content: "note\n"})
}

func linksBelowTmpfs(p *belljar.Plan) {
	src := p.Mounts[len(p.Mounts)-2].Source
	_ = os.WriteFile(filepath.Join(src, "seen"), []byte("yes\n"), 0o600)
	p.Mounts = append(p.Mounts,
		belljar.Mount{Kind: belljar.MountDir, Target: "/tmp/a", Perm: 0o755},
		belljar.Mount{Kind: belljar.MountBind, Source: src, Target: "/tmp/a/b/real", ReadOnly: true, Private: true},
		belljar.Mount{Kind: belljar.MountSymlink, Target: "/tmp/a/b/beside", Content: "real/seen"},
		belljar.Mount{Kind: belljar.MountSymlink, Target: "/tmp/a/up", Content: "b"},
		belljar.Mount{Kind: belljar.MountSymlink, Target: "/tmp/top", Content: "/tmp/a/b/real"})
}

func singleFile(p *belljar.Plan) {
	f := filepath.Join(p.Mounts[len(p.Mounts)-2].Source, "one")
	_ = os.WriteFile(f, []byte("one\n"), 0o600)
	p.Mounts = append(p.Mounts, belljar.Mount{Kind: belljar.MountBind, Source: f, Target: "/opt/one", ReadOnly: true})
}

func linkedSource(t *testing.T, s *box) {
	if err := os.Symlink("/etc", filepath.Join(s.project, "trap")); err != nil {
		t.Fatal(err)
	}
	s.plan.Mounts = append(s.plan.Mounts, belljar.Mount{
		Kind: belljar.MountBind, Source: filepath.Join(s.project, "trap"), Target: "/opt/trap", ReadOnly: true,
	})
	in, err := s.b.Start(t.Context(), s.spec())
	if err == nil {
		in.Close()
		t.Error("a link in the workspace was followed when its target was mounted")
	}
}

func renames(t *testing.T, s *box) {
	s.write(s.project, "target", "old")
	s.want("cat "+insideProject+"/target", "old")
	s.write(s.project, "new", "new from host")
	if err := os.Rename(filepath.Join(s.project, "new"), filepath.Join(s.project, "target")); err != nil {
		t.Fatal(err)
	}
	s.want("cat "+insideProject+"/target", "new from host")
	s.want("cd "+insideProject+" && echo inside > t2 && mv t2 target && cat target", "inside")
	if got := s.read(s.project, "target"); got != "inside\n" {
		t.Errorf("the host reads %q", got)
	}
}

func viewServed(t *testing.T, s *box) {
	s.write(s.project, "dir/f", "seen\n")
	s.want("cat "+insideProject+"/dir/f; echo w > "+insideProject+"/w", "seen")
	if got := s.read(s.project, "w"); got != "w\n" {
		t.Errorf("the host reads %q", got)
	}
	if len(s.view.served) != 1 || s.view.served[0] != 0 {
		t.Errorf("served %v, want view 0 once", s.view.served)
	}
}

func viewHidden(t *testing.T, s *box) {
	s.write(s.project, ".hidden", "secret\n")
	if r := s.sh("cat " + insideProject + "/.hidden"); strings.Contains(r.out, "secret") || r.status.Status() == 0 {
		t.Errorf("a hidden file was read: %s", r)
	}
}

func viewAppears(t *testing.T, s *box) {
	s.fails("cat " + insideProject + "/.hidden-later")
	s.write(s.project, "plain", "secret\n")
	s.want("cat "+insideProject+"/plain", "secret")
	if err := os.Rename(filepath.Join(s.project, "plain"), filepath.Join(s.project, ".hidden-later")); err != nil {
		t.Fatal(err)
	}
	s.fails("cat " + insideProject + "/.hidden-later")
	s.fails("cat " + insideProject + "/plain")
}
