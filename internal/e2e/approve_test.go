package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// companyProxy is a proxy of the host that leads every name to the server at port.
func companyProxy(t *testing.T, port string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil || r.Method != http.MethodConnect {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		c, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
		_, _ = io.Copy(c, up)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

// deskWorld is a world in which the names of example.com lead to a server of the test.
func deskWorld(t *testing.T) (*world, *secureServer) {
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	w.env = append(w.env, "NODE_EXTRA_CA_CERTS="+s.ca, "HTTPS_PROXY="+companyProxy(t, s.port))
	w.write("desk.yaml", `version: 1
network:
  allow:
    - {host: api.example.com, methods: [GET], paths: ["/open"]}
    - {host: api.example.com, methods: [POST], paths: ["/asked/*"], ask: true}
`)
	return w, s
}

var asks = regexp.MustCompile(`belljar: (.*) (waits for you|is proposed): belljar (approve loop (\d+))`)

// answering runs line inside and answers each question that is told on standard error.
func (w *world) answering(line string, answer func(what, id string) []string) result {
	w.t.Helper()
	return w.answeringTo([]string{"--", "sh", "-c", line}, answer)
}

// answeringTo does so for any command, with flags before it.
func (w *world) answeringTo(more []string, answer func(what, id string) []string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*hangs)
	defer cancel()
	c := w.cmd(ctx, append([]string{"run", "--policy", "desk.yaml", "--upstream-by-name", "--name", "loop"}, more...)...)
	var out bytes.Buffer
	c.Stdout = &out
	errs, err := c.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		m := asks.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if args := answer(m[1], m[4]); args != nil {
			if r := w.belljar(args...); r.status != 0 {
				w.t.Errorf("%q: %s", args, r.errout)
			}
		}
	}
	_ = c.Wait()
	return result{status: c.ProcessState.ExitCode(), out: out.String(), errout: all.String()}
}

// proposes does what a model would do that meets a refusal: it takes the command out of
// it, and waits for the answer.
const proposes = `
try() { curl -sS -o /tmp/body -w '%{http_code}' "$@"; }
repair() {
	grep -o "curl -sS -d .*" /tmp/body > /tmp/line
	sh /tmp/line > /tmp/answer
	curl -sS "http://policy.belljar/$(sed -n 's/^question \([0-9]*\),.*/\1/p' /tmp/answer)?wait" > /tmp/heard
}
`

// TestProposalLoop: a refusal, the gateway's page, a proposal, one approval, and it works
// without a new start; what asks waits; and what is for good is in the user's policy.
func TestProposalLoop(t *testing.T) {
	testenv.Need(t, "curl")
	w, s := deskWorld(t)
	var listed []struct{ ID, Host, Path, Note string }
	r := w.answering(proposes+`
echo open $(try https://api.example.com/open)
echo closed $(try https://api.example.com/closed?q=secret)
repair; cat /tmp/heard
echo repaired $(try https://api.example.com/closed)
echo sibling $(try https://api.example.com/closed2)
echo asked $(try -X POST https://api.example.com/asked/1)
echo denied $(try -X POST https://api.example.com/asked/2)
try https://new.example.com/x > /dev/null 2>&1 || echo no name
curl -sS -d host=NEW.example.com. --data-urlencode "why=$(printf 'for the build\033[31m')" -d method=GET -d path=/x http://policy.belljar/ > /tmp/answer
curl -sS "http://policy.belljar/$(sed -n 's/^question \([0-9]*\),.*/\1/p' /tmp/answer)?wait" > /tmp/heard
echo named $(try https://new.example.com/x)
echo other $(try https://new.example.com/y)
echo wide $(try -d host=api.example.com http://policy.belljar/)
echo metadata $(try -d host=169.254.169.254:80 http://policy.belljar/)
`, func(what, id string) []string {
		switch {
		case strings.Contains(what, "/asked/2"):
			return []string{"deny", "loop", id}
		case strings.Contains(what, "new.example.com"):
			l := w.belljar("approve", "loop", "--json")
			if err := json.Unmarshal([]byte(l.out), &listed); err != nil {
				t.Errorf("%v: %s%s", err, l.out, l.errout)
			}
			mustContain(t, "the list", w.belljar("approve", "loop").out, "GET new.example.com/x", "proposed", `for the build`)
			return []string{"approve", "loop", id, "--always"}
		}
		return []string{"approve", "loop", id}
	})
	mustContain(t, "output", r.out, "open 200", "closed 403", ": GET /closed at api.example.com", "it is allowed: try it again", "repaired 200", "sibling 403",
		"asked 200", "denied 403", "no name", "named 200", "other 403", "wide 403", "metadata 400")
	if len(listed) != 1 || listed[0].Host != "new.example.com" || listed[0].Path != "/x" || strings.Contains(listed[0].Note, "\x1b") {
		t.Errorf("listed %+v", listed)
	}
	mustContain(t, "standard error", r.errout, "POST api.example.com/asked/1 waits for you: belljar approve loop", "GET api.example.com/closed is proposed")
	mustLack(t, "standard error", r.errout, "secret", "\x1b[31m")
	seen := strings.Join(s.requests(), "\n")
	mustContain(t, "the server", seen, "GET /closed ", "POST /asked/1 ", "GET /x ")
	mustLack(t, "the server", seen, "/closed2", "/asked/2", "GET /y")
	mustContain(t, "the record", w.belljar("log", "--kind", "ask", "--kind", "answer").out,
		"question 1: GET /closed at api.example.com port 443, proposed", "allowed (once) by uid", "denied by uid", "new.example.com port 443, proposed: allowed")
	if r := w.belljar("approve", "loop", "1"); r.status != 2 {
		t.Errorf("after the end: %+v", r)
	}
	learned := w.belljar("policy", "learn", "loop").out
	mustContain(t, "what is learned", learned, `- {host: "api.example.com", ports: [443], methods: ["GET"], paths: ["/closed", "/open"]}`,
		`#   - {host: "api.example.com", ports: [443], methods: ["GET"], paths: ["/closed2"]}`)
	mustLack(t, "what is learned", learned, "secret", "# refused; to be allowed, below network.allow:\n#   - new")
	w.write("learned.yaml", learned)
	if r := w.belljar("policy", "check", "learned.yaml"); r.status != 0 {
		t.Errorf("check: %s\n%s", r.errout, learned)
	}
	w.forGood(t)
}

// forGood looks at what is written for good.
func (w *world) forGood(t *testing.T) {
	file := filepath.Join(w.home, ".config/belljar/policy.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, "the policy", string(b), `- {host: "new.example.com", ports: [443], methods: ["GET"], paths: ["/x"]}  # approved `)
	// Several things were refused there: what came last was chosen inside.
	if r := w.belljar("allow", "api.example.com"); r.status != 2 || !strings.Contains(r.errout, "GET api.example.com/closed2") {
		t.Errorf("allow, where several things were refused: %+v", r)
	}
	if r := w.belljar("allow", "api.example.com", "GET", "/closed2"); r.status != 0 {
		t.Errorf("allow: %+v", r)
	}
	b, _ = os.ReadFile(file)
	mustContain(t, "the policy", string(b), `- {host: "api.example.com", ports: [443], methods: ["GET"], paths: ["/closed2"]}`)
	if r := w.belljar("policy", "check", file); r.status != 0 {
		t.Errorf("check: %s", r.errout)
	}
	if r := w.belljar("allow", "never.example.com"); r.status != 2 {
		t.Errorf("what was not refused: %+v", r)
	}
}

// TestManyDenials: one approval each repairs what was refused. Forty of them only where
// there is time.
func TestManyDenials(t *testing.T) {
	testenv.Need(t, "curl")
	w, _ := deskWorld(t)
	n := 3
	if os.Getenv("BELLJAR_SOAK") != "" {
		n = 40
	}
	r := w.answering(proposes+fmt.Sprintf(`
for i in $(seq %d); do
	u="https://api.example.com/repos/it's/$i%%20x"
	[ "$(try "$u")" = 403 ] && repair && [ "$(try "$u")" = 200 ] && echo repaired
done
`, n), func(_, id string) []string { return []string{"approve", "loop", id} })
	if got := strings.Count(r.out, "repaired"); got != n {
		t.Errorf("%d of %d were repaired\n%s\n%s", got, n, r.out, r.errout)
	}
}

// TestAgentsDenials: the same with the real claude, whose model tries, reads the gateway's
// page, proposes, hears of the answer and tries again, each as a command of its own.
func TestAgentsDenials(t *testing.T) {
	testenv.Need(t, "curl", "only-run")
	bin := agentPath(t)
	n := 3
	if ownKernel() {
		n = 1 // the gateway is the same
	}
	if os.Getenv("BELLJAR_SOAK") != "" {
		n = 40
	}
	const try = `curl -sS -o /tmp/body -w '%%{http_code}\n' -X POST https://api.example.com/items/%d | tee -a %s; cat /tmp/body`
	var commands []string
	for i := range n {
		commands = append(commands,
			fmt.Sprintf(try, i, "first.txt"),
			`curl -sS http://policy.belljar/ > /tmp/page; cat /tmp/page >> page.txt; grep -o "curl -sS -d .*" /tmp/body > /tmp/line; sh /tmp/line | tee /tmp/answer`,
			`curl -sS "http://policy.belljar/$(sed -n 's/^question \([0-9]*\),.*/\1/p' /tmp/answer)?wait" | tee -a heard.txt`,
			fmt.Sprintf(try, i, "second.txt"))
	}
	port := modelServer(t, commands...)
	w, s := deskWorld(t)
	w.install(bin, "claude")
	w.env = append(w.env, "ANTHROPIC_API_KEY="+realKey)
	url := "http://localhost:" + port
	answers := 0
	r := w.answeringTo(append([]string{"--allow", "localhost:" + port, "--env", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"}, agents(url)["claude"]...),
		func(what, id string) []string {
			answers++
			if want := fmt.Sprintf("POST api.example.com/items/%d", answers-1); what != want {
				t.Errorf("question %s is about %q, not %q", id, what, want)
			}
			return []string{"approve", "loop", id}
		})
	if r.status != 0 {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errout)
	}
	if first := w.read("first.txt"); first != strings.Repeat("403\n", n) {
		t.Errorf("at first: %q", first)
	}
	// Repaired by one approval each: the aim is 38 of 40, and nothing is known that costs any.
	if second := w.read("second.txt"); second != strings.Repeat("200\n", n) || answers != n {
		t.Errorf("after %d approvals: %q\n%s", answers, second, w.read("heard.txt"))
	}
	mustContain(t, "the gateway's page", w.read("page.txt"), "api.example.com")
	if seen := s.requests(); len(seen) != n {
		t.Errorf("the server saw %q", seen)
	}
	mustLack(t, "output", r.out+r.errout, realKey)
}

// TestQuestionOnTerminal: whoever sits at the terminal is told, on a line of its own.
func TestQuestionOnTerminal(t *testing.T) {
	testenv.Need(t, "curl", "tmux")
	w, _ := deskWorld(t)
	s := newScreen(t, w)
	run := binary + " run --policy desk.yaml --upstream-by-name --name loop"
	if tier != "" {
		run += " --tier " + tier
	}
	w.write("asks.sh", "printf 'half a line'; curl -sS -o /dev/null -w 'code %{http_code} ' -X POST https://api.example.com/asked/1; echo end-$((1+1))\n")
	s.keys(run+" -- sh asks.sh; echo over-$((3+4))", "Enter")
	s.want("\nbelljar: POST api.example.com/asked/1 waits for you: belljar approve loop 1\n")
	if r := w.belljar("approve", "loop", "1"); r.status != 0 {
		t.Error(r.errout)
	}
	s.want("\ncode 200 end-2\n")
	s.want("\nover-7\n") // until then it writes into its state, which goes with the test
}
