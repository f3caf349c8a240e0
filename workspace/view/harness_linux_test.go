package view

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/fstest"
	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

const holderArgv0 = "belljar-view-holder"

func TestMain(m *testing.M) {
	if Reexec(os.Args) {
		return
	}
	fstest.Child()
	if os.Args[0] == holderArgv0 {
		holder()
	}
	status := m.Run()
	removeTemplates()
	os.Exit(status)
}

// holder lives in the user and mount namespace of a test, makes the mounts and runs
// commands there.
func holder() {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "holder:", err)
			os.Exit(1)
		}
	}
	die(unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""))
	for _, target := range os.Args[1:] {
		dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
		die(err)
		die(unix.Mount("belljar", target, "fuse.belljar", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf(
			"fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,max_read=1048576", dev, os.Getuid(), os.Getgid())))
		die(unix.Sendmsg(3, []byte("d"), unix.UnixRights(dev), nil, 0))
		unix.Close(dev)
	}
	in := json.NewDecoder(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for {
		var c insideCommand
		if in.Decode(&c) != nil {
			wg.Wait()
			os.Exit(0)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
			cmd.Dir, cmd.Env = c.Dir, append(os.Environ(), c.Env...)
			b, err := cmd.CombinedOutput()
			r := insideResult{ID: c.ID, Out: b}
			if err != nil {
				r.Err = err.Error()
			}
			mu.Lock()
			out.Encode(r)
			mu.Unlock()
		}()
	}
}

type insideCommand struct {
	ID   int
	Dir  string
	Argv []string
	Env  []string
}

type insideResult struct {
	ID  int
	Out []byte
	Err string
}

// sink collects events.
type sink struct {
	mu     sync.Mutex
	events []belljar.Event
}

func (s *sink) Record(_ context.Context, e belljar.Event) error {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	return nil
}

// world is a project on the host and its view inside.
type world struct {
	t      testing.TB
	host   string // the project
	in     string // the same through the view, reachable from here
	inside string // the path that commands inside use
	shadow string
	server *Server
	sink   *sink
	holder *exec.Cmd
	stdin  *json.Encoder
	mu     sync.Mutex
	wait   map[int]chan insideResult
	next   int
	roots  []string // per view, reachable from here
}

type worldOptions struct {
	mode    belljar.Mode
	disk    int64
	hide    []belljar.Pattern
	hold    []belljar.Pattern
	pass    []belljar.Pattern
	seed    func(host string)
	host    string // an existing project
	shadow  string
	gitDirs []string // further views
}

func newWorld(t testing.TB, o worldOptions) *world {
	t.Helper()
	testenv.Need(t, "only-run", "fuse", "userns") // root never serves a view
	if o.mode == "" {
		o.mode = belljar.ModeLive
	}
	if o.disk == 0 {
		o.disk = 1 << 30
	}
	base := t.TempDir()
	w := &world{t: t, host: o.host, inside: filepath.Join(base, "mnt"), shadow: o.shadow, sink: &sink{}, wait: map[int]chan insideResult{}}
	if w.host == "" {
		w.host = filepath.Join(base, "project")
	}
	if w.shadow == "" {
		w.shadow = filepath.Join(base, "shadow")
	}
	for _, d := range []string{w.host, w.inside} {
		must(t, os.MkdirAll(d, 0o755))
	}
	if o.seed != nil {
		o.seed(w.host)
	}
	views := []belljar.View{{Source: w.host, Target: w.inside}}
	for _, g := range o.gitDirs {
		views = append(views, belljar.View{Source: g, Target: g, Git: true})
	}
	plan := &belljar.Plan{
		Identity: belljar.Identity{HostUID: os.Getuid(), HostGID: os.Getgid(), UID: os.Getuid(), GID: os.Getgid()},
		Workspace: belljar.Workspace{
			Dir: w.host, Mode: o.mode, Views: views, Hide: o.hide, Hold: o.hold, Pass: o.pass, Shadow: w.shadow,
		},
		Limits: belljar.Limits{Disk: o.disk},
	}
	s, err := Start(context.Background(), Options{Plan: plan, Events: w.sink})
	must(t, err)
	w.server = s
	t.Cleanup(func() { s.Close() })
	w.hold(views)
	for _, v := range views {
		w.roots = append(w.roots, fmt.Sprintf("/proc/%d/root%s", w.holder.Process.Pid, v.Target))
	}
	w.in = w.roots[0]
	return w
}

// hold starts the holder and hands the devices over.
func (w *world) hold(views []belljar.View) {
	w.t.Helper()
	sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(w.t, err)
	theirs := os.NewFile(uintptr(sp[1]), "holder")
	args := []string{holderArgv0}
	for _, v := range views {
		args = append(args, v.Target)
	}
	c := &exec.Cmd{Path: "/proc/self/exe", Args: args, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs}, Env: testenv.Environ("GIT_CONFIG_NOSYSTEM=1")}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	in, err := c.StdinPipe()
	must(w.t, err)
	out, err := c.StdoutPipe()
	must(w.t, err)
	must(w.t, c.Start())
	theirs.Close()
	w.holder, w.stdin = c, json.NewEncoder(in)
	w.t.Cleanup(func() { in.Close(); c.Process.Kill(); c.Wait() })
	for i := range views {
		oob := make([]byte, 64)
		_, n, _, _, err := unix.Recvmsg(sp[0], make([]byte, 8), oob, unix.MSG_CMSG_CLOEXEC)
		must(w.t, err)
		if n == 0 {
			w.t.Fatal("the holder could not mount")
		}
		m, err := unix.ParseSocketControlMessage(oob[:n])
		must(w.t, err)
		fds, err := unix.ParseUnixRights(&m[0])
		must(w.t, err)
		must(w.t, w.server.Serve(i, os.NewFile(uintptr(fds[0]), "fuse")))
	}
	unix.Close(sp[0])
	go func() {
		d := json.NewDecoder(out)
		for {
			var r insideResult
			if d.Decode(&r) != nil {
				return
			}
			w.mu.Lock()
			ch := w.wait[r.ID]
			w.mu.Unlock()
			ch <- r
		}
	}()
}

// run runs a command inside, in the project.
func (w *world) run(argv ...string) (string, error) {
	w.mu.Lock()
	w.next++
	id, ch := w.next, make(chan insideResult, 1)
	w.wait[id] = ch
	w.stdin.Encode(insideCommand{ID: id, Dir: w.inside, Argv: argv, Env: []string{
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "HOME=/nonexistent",
	}})
	w.mu.Unlock()
	r := <-ch
	if r.Err != "" {
		return string(r.Out), fmt.Errorf("%s: %s", strings.Join(argv, " "), r.Err)
	}
	return string(r.Out), nil
}

// sh runs a shell script inside, which must succeed.
func (w *world) sh(script string) string {
	w.t.Helper()
	out, err := w.run("sh", "-ec", script)
	if err != nil {
		w.t.Fatalf("inside: %s\n%v\n%s", script, err, out)
	}
	return out
}

// onHost runs a shell script on the host, in the project, with nothing of ours.
func (w *world) onHost(script string) string {
	w.t.Helper()
	out, err := w.tryOnHost(script)
	if err != nil {
		w.t.Fatalf("on the host: %s\n%v\n%s", script, err, out)
	}
	return out
}

func (w *world) tryOnHost(script string) (string, error) {
	c := exec.Command("sh", "-ec", script)
	c.Dir = w.host
	c.Env = testenv.Environ("GIT_AUTHOR_NAME=h", "GIT_AUTHOR_EMAIL=h@example.com", "GIT_COMMITTER_NAME=h",
		"GIT_COMMITTER_EMAIL=h@example.com", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1")
	var b bytes.Buffer
	c.Stdout, c.Stderr = &b, &b
	err := c.Run()
	return b.String(), err
}

// many is n in a long run, and few otherwise.
func many(few, n int) int {
	if os.Getenv("BELLJAR_SOAK") != "" {
		return n
	}
	return few
}

// templates are repositories that scripts made, to be copied: starting git a dozen
// times for each test takes longer than the test.
var templates sync.Map // script → func() (string, error)

// repoSeed fills the project with what the script makes on the host.
func repoSeed(t testing.TB, script string) func(host string) {
	t.Helper()
	testenv.Need(t, "git")
	f, _ := templates.LoadOrStore(script, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "belljar-view-template")
		if err != nil {
			return "", err
		}
		out, err := (&world{host: dir}).tryOnHost(script)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return dir, err
	}))
	dir, err := f.(func() (string, error))()
	must(t, err)
	return func(host string) {
		// cp keeps permissions and times; the index is valid when inodes are looked at anew.
		out, err := (&world{host: host}).tryOnHost("cp -a " + dir + "/. . && { test ! -e .git || git update-index -q --refresh || true; }")
		if err != nil {
			t.Fatalf("copy the template: %v %s", err, out)
		}
	}
}

// removeTemplates is for the end of the test program.
func removeTemplates() {
	templates.Range(func(_, f any) bool {
		if dir, _ := f.(func() (string, error))(); dir != "" {
			os.RemoveAll(dir)
		}
		return true
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

func absent(t testing.TB, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("%s: %v, want it not to exist", name, err)
	}
}

// eventually polls a condition that an event of the kernel brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); time.Now().Before(late); runtime.Gosched() {
		if ok() {
			return
		}
	}
	t.Errorf("never: %s", what)
}

func planFor(t testing.TB) *belljar.Plan {
	dir := t.TempDir()
	return &belljar.Plan{
		Workspace: belljar.Workspace{
			Dir: dir, Mode: belljar.ModeLive, Views: []belljar.View{{Source: dir, Target: dir}}, Shadow: filepath.Join(t.TempDir(), "s"),
		},
		Limits: belljar.Limits{Disk: 1 << 20},
	}
}
