package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// rows are the rows of the design's table that exist.
func rows() []row {
	return []row{
		{name: "start: true, beside the library's", aim: "<=0.75", run: startLibrary},
		{name: "start: true, beside bubblewrap", aim: "-/<=3", run: startBubblewrap},
		{name: "start: 100 000 files, 5 ** patterns", aim: "flat", run: startTree},
		{name: "begin: cold, from a pool, exec", lines: begins},
		{name: "ssh NAME.belljar true", aim: "<=30ms", run: sshTrue},
		{name: "in the project: git status, warm", aim: "<=5/1.15", run: workInside(func(b *bench) (string, error) { return b.repo(2400) }, "git status")},
		{name: "in the project: rg, warm", aim: "<=5/1.15", run: workInside(func(b *bench) (string, error) { return b.repo(2400) }, "rg nothing-like-this . || true")},
		{name: "in the project: grep -r, warm", aim: "<=5/1.15", run: workInside(func(b *bench) (string, error) { return b.repo(2400) }, "grep -r nothing-like-this .")},
		{name: "in the project: 300 small writes", aim: "<=4", run: workInside(func(b *bench) (string, error) { return b.repo(2400) }, "for j in $(seq 300); do echo x > w$j; done; rm -f w*")},
		{name: "large: git and rg with 100 000 files", lines: largeRepository},
		{name: "large: diff, apply, undo, discard", lines: largeReview},
		{name: "outside: 300 small writes in /tmp", aim: "-/<=1.05", run: workInside(func(b *bench) (string, error) { return b.tree(1) }, "d=$(mktemp -d); for j in $(seq 300); do echo x > $d/w$j; done; rm -rf $d")},
		{name: "outside: node -e 0", aim: "-/<=1.05", run: workInside(func(b *bench) (string, error) { return b.tree(1) }, "node -e 0")},
		{name: "in the project: npm ci, 60 packages", aim: "<=1.8/1.25", run: npmCI},
		{name: "outside: go build, empty cache", aim: "<=1.7/1.05", run: goBuild},
		{name: "record: go build, with events", aim: "<=1.05", run: withEvents(goBuild)},
		{name: "record: npm ci, with events", aim: "<=1.05", run: withEvents(npmCI)},
		{name: "network: 200 MB down from the host", aim: ">=400MB", run: moved("down")},
		{name: "network: 200 MB up to the host", aim: ">=250MB", run: moved("up")},
		{name: "network: 200 MB down by curl", aim: "", run: curlDown},
		{name: "network: HTTPS passed, 32 conns", aim: ">=0.9", run: passedHTTPS},
		{name: "network: HTTPS seen, with a key", aim: ">=0.45", run: seenHTTPS},
		{name: "proxies: small requests, 32 conns", lines: proxies(&proxyWork{unit: "req/s", each: "a request", piece: together,
			aims: map[string]string{"passed": ">=0.9,40µs", "seen": ">=0.45,130µs"}})},
		{name: "proxies: small requests, one connection, median", lines: proxies(&proxyWork{unit: "µs", each: "a request", piece: alone,
			aims: map[string]string{"seen": "<=+250µs"}})},
		{name: "proxies: a new connection for each request", lines: proxies(&proxyWork{unit: "conn/s", each: "a connection", piece: anew,
			aims: map[string]string{"passed": "<=900µs", "seen": "<=900µs"}})},
		{name: "proxies: 64 MiB down", lines: proxies(&proxyWork{unit: "MB/s", each: "a MB", piece: large,
			aims: map[string]string{"passed": "<=500µs", "seen": "<=1700µs"}})},
		{name: "proxies: memory", lines: memory},
		{name: "idle memory, PSS of everything", aim: "<=60/30", run: idleMemory},
	}
}

func workInside(where func(*bench) (string, error), line string) func(*bench) (float64, float64, string, string, error) {
	return func(b *bench) (float64, float64, string, string, error) {
		dir, err := where(b)
		if err != nil {
			return 0, 0, "", "", err
		}
		ours, theirs, err := b.inside(dir, line)
		return ours, theirs, "ms", "the same on the host", err
	}
}

// goBuild compiles a small program and what it needs of the standard library.
func goBuild(b *bench) (float64, float64, string, string, error) {
	dir := filepath.Join(b.dir, "module")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, "", "", err
	}
	for name, text := range map[string]string{
		"go.mod":  "module example.org/m\n",
		"main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(1) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return 0, 0, "", "", err
		}
	}
	few := *b
	few.rounds = 3
	ours, theirs, err := few.inside(dir, "d=$(mktemp -d); CGO_ENABLED=0 GOFLAGS= GOTOOLCHAIN=local GOCACHE=$d go build -o $d/m . || exit 1; rm -rf $d")
	return ours, theirs, "ms", "the same on the host", err
}

func startLibrary(b *bench) (float64, float64, string, string, error) {
	other := os.Getenv("BELLJAR_BENCH_LIBRARY")
	if other == "" {
		return 0, 0, "", "", errors.New("BELLJAR_BENCH_LIBRARY does not name the tier's own program")
	}
	dir, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	root := filepath.Join(b.dir, "root")
	ours, theirs, err := b.compare(dir, b.start("--", "true"), []string{other, "--rootless", "--root=" + root, "--network=none", "--ignore-cgroups", "do", "true"})
	return ours, theirs, "ms", filepath.Base(other) + " --rootless do true", err
}

func startBubblewrap(b *bench) (float64, float64, string, string, error) {
	dir, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	ours, theirs, err := b.compare(dir, b.start("--", "true"), []string{"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"})
	return ours, theirs, "ms", "bwrap --unshare-all", err
}

func startTree(b *bench) (float64, float64, string, string, error) {
	small, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	large, err := b.tree(100_000)
	if err != nil {
		return 0, 0, "", "", err
	}
	var args []string
	for i := range 5 {
		args = append(args, "--hide", fmt.Sprintf("**/secret%d/**/*.key%d", i, i))
	}
	ours, theirs, err := b.compare(b.dir, b.start(append(args, "--workspace", large, "--", "true")...), b.start(append(args, "--workspace", small, "--", "true")...))
	return ours, theirs, "ms", "a project of one file", err
}

// idleMemory sums the proportional set size of every process of an idle sandbox.
func idleMemory(b *bench) (float64, float64, string, string, error) {
	dir, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	line := b.start("--", "sh", "-c", "echo ready; read x")
	c := exec.Command(line[0], line[1:]...)
	c.Dir = dir
	in, err := c.StdinPipe()
	if err != nil {
		return 0, 0, "", "", err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, 0, "", "", err
	}
	if err := c.Start(); err != nil {
		return 0, 0, "", "", err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, 0, "", "", err
	}
	time.Sleep(5 * time.Second) // idle: what the start needed has been given back
	kb := 0
	for _, pid := range append(testenv.Descendants(c.Process.Pid), c.Process.Pid) {
		kb += pss(pid)
	}
	in.Close()
	_ = c.Wait() // read fails at the end of its input
	return float64(kb) / 1024, 60, "MB", "the aim", nil
}

func pss(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "Pss:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
