package verify

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nonceName is a file of the project that tells one world from another.
const nonceName = "nonce"

// plant writes the decoys of HOME and the project.
func (w *world) plant() error {
	home, proj := w.secret("home"), w.secret("project")
	for _, later := range []string{"env", "late", "victim", "ipc", "credential", "other", "tool"} {
		w.secret(later)
	}
	all := map[string]string{
		".ssh/id_rsa": home, ".aws/credentials": home, ".netrc": home, ".config/gh/hosts.yml": home,
		".claude/.credentials.json": home, ".npmrc": home, ".git-credentials": home, ".kube/config": home,
		".docker/config.json": home, ".gnupg/private-keys-v1.d/k.key": home, ".bash_history": home,
		".config/belljar/policy.yaml": "version: 1\n# " + w.secret("control") + "\n",
		".local/state/belljar/decoy":  w.secret("control"),
		".gitconfig":                  "[user]\n\tname = Decoy\n\temail = decoy@example.com\n[http]\n\textraHeader = " + home + "\n",
		".bashrc":                     "# untouched\n",
		".config/decoy/key":           w.secret("credential") + "\n",
		".cache/go-build/00/00-d":     "untouched\n",
		".config/direnv/direnv.toml":  "[whitelist]\nprefix = [\"" + w.project() + "\"]\n",
		"src/other/notes.txt":         w.secret("sibling"),
		"outside.txt":                 "untouched\n",

		projectName + "/README":                   "hello\n",
		projectName + "/.env":                     "KEY=" + proj + "\n",
		projectName + "/.env.local":               proj,
		projectName + "/sub/.ENV.production":      proj,
		projectName + "/deploy/prod.pem":          proj,
		projectName + "/deploy/id.key":            proj,
		projectName + "/.pypirc":                  proj,
		projectName + "/app-service-account.json": proj,
		projectName + "/x/.kube/config":           proj,
		projectName + "/Makefile":                 "all:\n\t@true\n",
		projectName + "/package.json":             "{\"name\":\"decoy\",\"version\":\"1.0.0\",\"scripts\":{\"test\":\"true\"}}\n",
		projectName + "/.vscode/tasks.json":       "{\"version\":\"2.0.0\",\"tasks\":[]}\n",
		projectName + "/" + nonceName:             w.secret("nonce"),
		projectName + "/late/README":              "late\n",
		projectName + "/plain":                    "plain\n",
	}
	for rel, content := range all {
		if err := writeFile(filepath.Join(w.home, rel), content, 0o600); err != nil {
			return err
		}
	}
	for rel, mode := range map[string]os.FileMode{".config/belljar": 0o700, ".local/state/belljar": 0o700} {
		if err := os.Chmod(filepath.Join(w.home, rel), mode); err != nil {
			return err
		}
	}
	for _, d := range []string{marksDir, "/tmp/.X11-unix", w.runtimeDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(
		writeFile("/tmp/host-file", w.secret("tmp"), 0o644),
		writeFile("/run/host-file", w.secret("run"), 0o644),
		os.Symlink(filepath.Join(w.home, "outside.txt"), filepath.Join(w.project(), "oldlink")),
		os.WriteFile(filepath.Join(w.home, "store"), []byte("untouched\n"), 0o600),
		os.Link(filepath.Join(w.home, "store"), filepath.Join(w.project(), "linked")),
		w.repositories(),
	)
}

// repositories makes the project one, and one more below it for every script.
func (w *world) repositories() error {
	first := filepath.Join(w.project(), "repos", "template")
	if err := os.MkdirAll(first, 0o755); err != nil {
		return err
	}
	c := exec.Command("sh", "-c", `git init -q --template= -b main . && mkdir -p .git/hooks .git/info && echo 1 > f && git add f && git commit -q -m one`)
	c.Dir = first
	c.Env = []string{"PATH=" + safePath, "HOME=" + w.home, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=d", "GIT_AUTHOR_EMAIL=d@d", "GIT_COMMITTER_NAME=d", "GIT_COMMITTER_EMAIL=d@d"}
	if out, err := c.CombinedOutput(); err != nil {
		if programMissing("git")() != "" {
			return nil // rows about git are not judged
		}
		return fmt.Errorf("make a repository: %w: %s", err, out)
	}
	for _, r := range chosen(allRows(), w.cfg.Only) {
		if r.script != "" {
			if err := copyAll(first, filepath.Join(w.project(), repoOf(r.id))); err != nil {
				return err
			}
		}
	}
	return errors.Join(copyAll(filepath.Join(first, ".git"), filepath.Join(w.project(), ".git")), os.RemoveAll(first))
}

// listenDecoys opens the sockets of the host that an attacker looks for.
func (w *world) listenDecoys() error {
	run := w.runtimeDir()
	for at, id := range map[string]string{
		"/run/docker.sock": "sockets/docker", run + "/agent.sock": "sockets/ssh-agent", run + "/bus": "sockets/dbus",
		"/tmp/.X11-unix/X0": "sockets/x11", "@belljar-verify-decoy": "sockets/abstract",
		filepath.Join(w.project(), "host.sock"): "sockets/project",
	} {
		l, err := net.Listen("unix", at)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				w.hit(id, "a connection to "+at)
				c.Close()
			}
		}()
	}
	for _, at := range []string{fmt.Sprintf("127.0.0.1:%d", portLocal), fmt.Sprintf("%s:%d", addrHost, portLocal)} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			for _, m := range rowWord().FindAllStringSubmatch(r.Host+r.URL.String(), 16) {
				w.hit(m[1]+"/"+m[2], "a service of the host at "+at)
			}
			fmt.Fprint(rw, "a service of the host")
		})}
		go func() { _ = s.Serve(l) }()
	}
	shared, err := attachShared(unix.IPC_CREAT)
	if err != nil {
		return err
	}
	copy(shared, w.secrets["ipc"])
	fifo := filepath.Join(w.project(), "host.fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 64)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			w.hit("sockets/fifo", fmt.Sprintf("%q came through a FIFO of the host", b[:n]))
		}
	}()
	return nil
}

// startVictim starts a process of the host with a secret in its environment.
func (w *world) startVictim() (*exec.Cmd, error) {
	r, wr, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{argvVictim}, Dir: "/", Env: []string{"SECRET=" + w.secret("victim")}, Stdout: wr,
	}
	if _, err := c.StdinPipe(); err != nil { // never closed: it ends with us
		return nil, err
	}
	err = c.Start()
	wr.Close()
	if err != nil {
		return nil, err
	}
	w.victim = c.Process.Pid
	line := make([]byte, 6)
	if _, err := r.Read(line); err != nil || !strings.HasPrefix(string(line), "ready") {
		return nil, fmt.Errorf("the decoy process said %q: %w", line, err)
	}
	go func() {
		b := make([]byte, 16)
		for {
			if n, err := r.Read(b); err != nil || n == 0 {
				return
			}
			w.hit("process/signal", "a process of the host was signalled")
		}
	}()
	return c, nil
}

// runVictim is the decoy process: it says when it is signalled.
func runVictim() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, unix.SIGUSR1)
	fmt.Println("ready")
	for range c {
		fmt.Println("hit")
	}
}
