package e2e

import (
	binaryorder "encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/net/websocket"
)

// nodeModules is the folder with the packages of Node that make deps installs.
func nodeModules(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(testbed(), "node_modules")
	for _, n := range names {
		if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
			if testenv.Required("node packages") {
				t.Fatalf("make deps did not install %s: %v", n, err)
			}
			t.Skipf("no %s: run make deps", n)
		}
	}
	return dir
}

// clientServer answers what the programs of TestClients ask: a page that opens a
// WebSocket and a stream of events, both by themselves, and a call of gRPC.
func clientServer() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<title>page</title><script>
const s = new WebSocket("wss://" + location.host + "/socket");
s.onopen = () => s.send("hello");
s.onmessage = m => {
	const e = new EventSource("/events");
	e.onmessage = n => { e.close(); document.title = m.data + " and " + n.data; };
};
</script>`)
	})
	m.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: an event\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // it never ends by itself
	})
	// Without the check of the origin that the package's own handler has.
	m.Handle("/socket", websocket.Server{Handler: func(c *websocket.Conn) {
		var text string
		if websocket.Message.Receive(c, &text) == nil {
			_ = websocket.Message.Send(c, "echo of "+text)
		}
	}})
	m.HandleFunc("/acme.Echo/Say", func(w http.ResponseWriter, r *http.Request) {
		head := make([]byte, 5) // not compressed, and the length
		if _, err := io.ReadFull(r.Body, head); err != nil {
			return
		}
		body := make([]byte, binaryorder.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(append(head, body...))
		w.Header().Set("Grpc-Status", "0")
	})
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "answer by", r.Proto) })
	return m
}

const (
	javaClient = `import java.net.*; import java.net.http.*;
public class T { public static void main(String[] a) throws Exception {
	System.out.print("old " + new String(new URL(a[0] + "/old").openStream().readAllBytes()));
	HttpResponse<String> r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(a[0] + "/new")).build(), HttpResponse.BodyHandlers.ofString());
	System.out.print("new by " + r.version() + " " + r.body());
} }`
	playwrightClient = `const { chromium } = require("playwright-core");
(async () => {
	const b = await chromium.launch({ executablePath: "/usr/bin/chromium-headless-shell", chromiumSandbox: false });
	const p = await b.newPage();
	const r = await p.goto(process.argv[2] + "/page");
	console.log(r.status(), (await r.securityDetails()).issuer);
	await p.waitForFunction(() => document.title != "page");
	console.log(await p.title());
	await b.close();
})().catch(e => { console.log(e); process.exit(1); });`
	socketClient = `const s = new (require("ws"))(process.argv[2].replace("https", "wss") + "/socket", { headers: { "x-acme-key": process.env.ACME_KEY } });
s.on("open", () => s.send("hello")); s.on("message", m => console.log(String(m))); s.on("error", e => { console.log(e); process.exit(1); });`
	grpcClient = `const g = require("@grpc/grpc-js"), id = x => x;
const c = new g.Client(process.argv[2].slice(8), g.credentials.createSsl(require("fs").readFileSync(process.env.SSL_CERT_FILE)));
const md = new g.Metadata(); md.set("x-acme-key", process.env.ACME_KEY);
c.makeUnaryRequest("/acme.Echo/Say", id, id, Buffer.from("hello"), md, (e, r) => { console.log(e || "grpc " + r); c.close(); });`
)

// TestClients: programs that have TLS, stores of certificates and protocols of their own
// go through TLS that the gateway ends and a rule about paths.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		name    string
		slow    bool // takes long to start where the kernel is ours, and needs nothing of it that the others do not
		needs   []string
		pkg     string // of Node
		file    string
		program string
		line    string
		prints  []string
		asks    []string
	}{
		{"java", true, []string{"java", "javac"}, "", "T.java", javaClient, "java T.java $u", []string{"old answer by HTTP/", "new by HTTP_2 answer by HTTP/"}, []string{"GET /old ", "GET /new "}},
		{"chromium by playwright", true, []string{"node", "chromium-headless-shell"}, "playwright-core", "p.js", playwrightClient, "node p.js $u",
			[]string{"200 belljar", "echo of hello and an event"}, []string{"GET /page ", "GET /socket ", "GET /events "}},
		{"websocket of node", false, []string{"node"}, "ws", "s.js", socketClient, "node s.js $u", []string{"echo of hello"}, []string{"GET /socket "}},
		{"grpc of node", false, []string{"node"}, "@grpc/grpc-js", "g.js", grpcClient, "node g.js $u", []string{"grpc hello"}, []string{"POST /acme.Echo/Say "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.slow && ownKernel() && os.Getenv("BELLJAR_SOAK") == "" {
				t.Skip("the files are the same on every tier, and these programs take long to start on this one")
			}
			testenv.Need(t, append(c.needs, "only-run")...)
			w := newWorld(t)
			s := newSecureServer(t, w.home)
			s.answers = clientServer()
			w.env = append(w.env, "ACME_KEY="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
			w.write(c.file, c.program)
			w.write("clients.yaml", `version: 1
network: {allow: [{host: localhost, ports: [`+s.port+`], methods: [GET, POST], paths: ["/old", "/new", "/page", "/socket", "/events", "/acme.Echo/*"]}]}
credentials: [{name: ACME_KEY, hosts: ["localhost:`+s.port+`"], header: x-acme-key}]
`)
			flags := []string{"--policy", "clients.yaml"}
			if c.pkg != "" {
				flags = append(flags, "--read", nodeModules(t, c.pkg), "--env", "NODE_PATH="+nodeModules(t, c.pkg))
			}
			r := w.trySh("u=https://localhost:"+s.port+"; "+c.line, flags...)
			mustContain(t, "output", r.out, c.prints...)
			mustLack(t, "output", r.out+r.errout, realKey)
			seen := s.requests()
			for _, q := range c.asks {
				if !slices.ContainsFunc(seen, func(l string) bool { return strings.HasPrefix(l, q) && strings.HasSuffix(l, " "+realKey) }) {
					t.Errorf("%swith the key: %q", q, seen)
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", r.out, r.errout)
			}
		})
	}
}
