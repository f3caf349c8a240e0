package judge

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func execJudge(t testing.TB) *Judge {
	t.Helper()
	j, err := New(belljar.Commands{Rules: []belljar.CommandRule{
		{Verdict: "allow", Pattern: "ls *"},
		{Verdict: "deny", Pattern: "sudo *", Reason: "no other user"},
		{Verdict: "ask", Pattern: "git push *"},
		{Verdict: "deny", Pattern: "git push --force *"},
		{Verdict: "deny", Pattern: "npm publish *"},
		{Verdict: "deny", Pattern: "pip install *"},
		{Verdict: "deny", Pattern: "wget *"},
		{Verdict: "deny", Pattern: "bash"},
		{Verdict: "deny", Pattern: "/opt/one/tool *"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestExec(t *testing.T) {
	j := execJudge(t)
	for _, c := range []struct {
		path, called, argv string
		want               Verdict
	}{
		{"/usr/bin/true", "", "true", Allow},
		{"/usr/bin/ls", "", "ls /usr/bin/sudo", Allow},
		{"/opt/one/tool", "/tmp/link", "tool x", Deny}, // by its path
		{"/opt/two/tool", "", "tool x", Allow},
		{"/usr/bin/sudo", "", "sudo", Deny},
		{"/usr/bin/sudo", "", "harmless id", Deny},            // called by another name
		{"/project/link", "", "/usr/bin/sudo id", Deny},       // another file, which may do by its name
		{"/opt/x/impl.js", "/usr/bin/npm", "x publish", Deny}, // a link to a script
		{"/usr/bin/git", "", "git push origin main", Ask},
		{"/usr/bin/git", "", "git -C /x --no-pager push origin", Ask},
		{"/usr/bin/git", "", "git push --force origin", Deny},
		{"/usr/bin/git", "", "git status push", Allow},
		{"/usr/bin/node", "", "node /usr/bin/npm publish", Deny},
		{"/usr/bin/node", "", "node --require ./x.js /usr/bin/npm publish", Deny},
		{"/usr/bin/node", "", "node build.js npm publish", Allow},
		{"/usr/bin/python3.13", "", "python3.13 -m pip install x", Deny},
		{"/usr/bin/python3.13", "", "python3.13 -I -m pip install x", Deny},
		{"/usr/bin/python3.13", "", "python3.13 setup.py pip install", Allow},
		{"/usr/bin/dash", "/bin/sh", "sh /usr/bin/sudo id", Deny},
		{"/usr/bin/dash", "/bin/sh", "sh -c sudo", Allow}, // sudo is judged when it is executed
		{"/usr/bin/bash", "", "bash -lc /usr/bin/sudo", Allow},
		{"/usr/bin/bash", "", "bash -o pipefail /usr/bin/sudo", Deny},
		{"/usr/bin/bash", "", "bash -e /usr/bin/sudo", Deny},
		{"/usr/bin/perl", "", "perl -e x/sudo", Allow},
		{"/usr/bin/perl", "", "perl -w /usr/bin/sudo", Deny},
		{"/usr/bin/node", "", "node -p x/npm publish", Allow},
		{"/usr/bin/python3.13", "", "python3.13 -mpip install x", Deny},
		{"/usr/bin/python3.13", "", "python3.13 -Impip install x", Deny},
		{"/usr/bin/python3.13", "", "python3.13 -c x/sudo", Allow},
		{"/usr/bin/npm", "", "npm --registry https://x publish", Deny},
		{"/usr/bin/npm", "", "npm --silent publish", Deny},
		{"/usr/bin/npm", "", "npm run publish", Allow},
		{"/usr/lib/git-core/git-push", "", "git-push --force origin", Deny},
		{"/usr/lib/git-core/git-push", "", "git-push origin", Ask},
		{"/usr/bin/busybox", "", "busybox wget http://x", Deny},
		{"/usr/bin/busybox", "", "wget http://x", Deny},
		{"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2", "x /usr/bin/sudo id", Deny},
		{"/usr/bin/bash", "", "-bash", Deny},
		{"/usr/bin/bash", "", "bash x", Allow},
		{"", "", "", Allow},
	} {
		f := j.Exec(&belljar.ExecEvent{Path: c.path, Called: c.called, Argv: strings.Fields(c.argv)})
		if f.Verdict != c.want {
			t.Errorf("%s (%s) %q: %v, not %v: %+v", c.path, c.called, c.argv, f.Verdict, c.want, f)
		}
		if f.Verdict != Allow && (f.Reason == "" || f.Rule == "" || f.Part == "") {
			t.Errorf("%q: %+v", c.argv, f)
		}
	}
}

// TestExecCut: what was cut off may be what a rule forbids.
func TestExecCut(t *testing.T) {
	j := execJudge(t)
	e := &belljar.ExecEvent{Path: "/usr/bin/git", Argv: []string{"git", "-c", strings.Repeat("x", 100)}, Truncated: 20}
	if f := j.Exec(e); f.Verdict != Deny {
		t.Errorf("%+v", f)
	}
	e = &belljar.ExecEvent{Path: "/usr/bin/ls", Argv: []string{"ls", "-l"}, Truncated: 20}
	if f := j.Exec(e); f.Verdict != Allow {
		t.Errorf("%+v", f)
	}
}

func FuzzExec(f *testing.F) {
	f.Add("/usr/bin/git", "git\x00-C\x00/x\x00push", 0)
	f.Add("/usr/bin/node", "node\x00-r\x00x\x00/usr/bin/npm\x00publish", 3)
	j := execJudge(f)
	f.Fuzz(func(t *testing.T, path, argv string, cut int) {
		e := &belljar.ExecEvent{Path: path, Argv: strings.Split(argv, "\x00"), Truncated: cut}
		got := j.Exec(e)
		if strings.HasSuffix(path, "/sudo") && got.Verdict != Deny {
			t.Errorf("%q %q: %+v", path, argv, got)
		}
	})
}
