package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// realKey is the value that must never be seen inside. Tests look for it with the
// letters reversed, so that they do not bring it in themselves.
const realKey = "acme_live_Zq8vT2mWx0PkD4rYh7Lc"

func reversed(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

// A secureServer is a service of the host that speaks TLS with a certificate of a
// company's own authority, and remembers what it was asked.
type secureServer struct {
	port    string
	ca      string       // PEM file
	answers http.Handler // instead of its own
	mu      sync.Mutex
	seen    []string // "METHOD path proto credential"
}

func (s *secureServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func newSecureServer(t *testing.T, dir string) *secureServer {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost", "*.example.com"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	s := &secureServer{ca: filepath.Join(dir, "acme-ca.pem")}
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o644); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pass, _ := r.BasicAuth()
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if pass != "" {
			bearer = ""
		}
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(fmt.Sprintf("%s %s %s %s%s", r.Method, r.URL.Path, r.Proto, r.Header.Get("X-Acme-Key"), pass+bearer)))
		s.mu.Unlock()
		if s.answers != nil {
			s.answers.ServeHTTP(w, r)
			return
		}
		// A server that tells the caller its own key does not tell it inside.
		fmt.Fprintf(w, "you sent %s\n", r.Header.Get("X-Acme-Key"))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: caKey}}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	s.port = server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	return s
}

// looksInside searches everything that the sandbox can read for the value whose letters
// are reversed in its first argument: the environment of every process, command
// lines, its own memory, and files that are not the system's.
const looksInside = `
import os, sys
# In two parts, so that the value itself is nowhere in this process.
half = len(sys.argv[1]) // 2
begin, end = sys.argv[1][:half-1:-1].encode(), sys.argv[1][half-1::-1].encode()
def holds(data):
    at = data.find(begin)
    while at >= 0:
        if data.startswith(end, at + len(begin)): return True
        at = data.find(begin, at + 1)
    return False

# Programs reserve far more memory than they have ever written to.
def used(pages, at, n):
    if pages is None: return True
    pages.seek(at // 4096 * 8)
    return any(b & 0xc0 for b in pages.read(n // 4096 * 8)[7::8])

looked, whose = {}, set()
def look(kind, path, data):
    looked[kind] = looked.get(kind, 0) + 1
    if holds(data): print("FOUND in", path)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for f in ("environ", "cmdline"):
        p = "/proc/%s/%s" % (pid, f)
        try: look("processes", p, open(p, "rb").read())
        except OSError: pass
    try:
        mem, pages = open("/proc/%s/mem" % pid, "rb", 0), None
        try: pages = open("/proc/%s/pagemap" % pid, "rb", 0)
        except OSError: pass # not every kernel has it
        for line in open("/proc/%s/maps" % pid):
            start, stop = (int(x, 16) for x in line.split()[0].split("-"))
            perms, inode = line.split()[1], line.split()[4]
            if perms[0] != "r" or perms[1] != "w" and inode != "0": continue # a file as it is
            try:
                for at in range(start, stop, 1 << 20):
                    if not used(pages, at, min(stop - at, 1 << 20)): continue
                    mem.seek(at)
                    look("memory", "memory of " + pid, mem.read(min(stop - at, (1 << 20) + 1024)))
                    whose.add(open("/proc/%s/comm" % pid).read().strip())
            except (OSError, ValueError, OverflowError): pass
    except OSError: pass
tops = {"/etc", "/home", "/tmp", "/run", "/var", "/root", "/dev/shm", os.environ["HOME"], os.getcwd()}
for top in (t for t in tops if not any(t.startswith(o + "/") for o in tops)):
    for d, dirs, files in os.walk(top):
        if d.endswith("/.pyenv/versions"): dirs.clear() # gigabytes that a machine may have
        for f in files:
            p = os.path.join(d, f)
            try:
                if os.path.isfile(p): look("files", p, open(p, "rb").read())
            except OSError: pass
for name in sorted(whose): print("memory of", name)
print("looked at", *(k for k in ("files", "memory", "processes") if looked.get(k, 0) > 1))
`

// TestCredentialStaysOutside: programs of every kind use a key that is nowhere inside,
// through TLS that the gateway ends; a foreign key is refused; neither belljar's words,
// its record nor its state hold the key.
func TestCredentialStaysOutside(t *testing.T) {
	testenv.Need(t, "python3", "git")
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	w.env = append(w.env, "ACME_KEY="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write("look.py", looksInside)
	w.write("belljar-test.yaml", `version: 1
network: {allow: [{host: localhost, ports: [`+s.port+`], methods: [GET, POST], paths: ["/v1/**", "/repo.git/**"]}]}
credentials:
  - {name: ACME_KEY, hosts: ["localhost:`+s.port+`"], paths: ["/v1/**"], header: x-acme-key}
  - {name: ACME_GIT, from: {env: ACME_KEY}, hosts: ["localhost:`+s.port+`"], paths: ["/repo.git/**"], header: basic, user: me}
`)
	line := `
u=https://localhost:` + s.port + `
curl -sS --http1.1 -H "x-acme-key: $ACME_KEY" $u/v1/h1
curl -sS --http2 -H "x-acme-key: $ACME_KEY" $u/v1/h2
python3 -c 'import os,sys,urllib.request as u; print(u.urlopen(u.Request(sys.argv[1]+"/v1/python", headers={"X-Acme-Key": os.environ["ACME_KEY"]})).read().decode())' $u
if command -v node > /dev/null; then echo has-node; node -e 'fetch(process.argv[1]+"/v1/node",{headers:{"x-acme-key":process.env.ACME_KEY}}).then(r=>r.text()).then(console.log)' $u; fi
git ls-remote https://me:$ACME_GIT@localhost:` + s.port + `/repo.git
curl -sS -w '%{http_code}\n' -H "x-acme-key: of-somebody-else-0123456789" $u/v1/foreign
curl -sS -w '%{http_code}\n' -X DELETE -H "x-acme-key: $ACME_KEY" $u/v1/method
curl -sS -w '%{http_code}\n' -H "x-acme-key: $ACME_KEY" $u/v2/path
curl -sS -w '%{http_code}\n' -H "x-acme-key: $ACME_KEY" --path-as-is $u/v1/../v2/dots
python3 look.py ` + reversed(realKey) + `
`
	r := w.trySh(line, "--policy", "belljar-test.yaml")
	mustContain(t, "output", r.out, "looked at files memory processes", "credential that is not yours", "but not DELETE /v1/method", "but not GET /v2/path", "403")
	mustLack(t, "output", r.out+r.errout, realKey, "FOUND")
	mustContain(t, "the closing lines", r.errout, "credentials used: ", "ACME_GIT to localhost", "ACME_KEY to localhost")
	want := []string{"GET /v1/h1 HTTP/1.1 ", "GET /v1/h2 HTTP/2.0 ", "GET /v1/python HTTP/1.1 ", "GET /repo.git/info/refs HTTP/2.0 "}
	if strings.Contains(r.out, "has-node") {
		want = append(want, "GET /v1/node HTTP/1.1 ")
	}
	seen := s.requests()
	for _, q := range want {
		if !slices.ContainsFunc(seen, func(l string) bool {
			return strings.HasPrefix(l, strings.Fields(q)[0]+" "+strings.Fields(q)[1]+" ") && strings.HasSuffix(l, realKey)
		}) {
			t.Errorf("no %swith the key: %q\n%s\n%s", q, seen, r.out, r.errout)
		}
	}
	for _, l := range seen {
		if strings.Contains(l, "foreign") || strings.Contains(l, "method") || strings.Contains(l, "v2") {
			t.Errorf("it was sent: %s", l)
		}
	}
	w.nothingHolds(realKey)
	w.belljarPrintsNo(realKey, "--policy", "belljar-test.yaml")
}

// nothingHolds looks for a value in everything that belljar keeps.
func (w *world) nothingHolds(value string) {
	w.t.Helper()
	looked := 0
	err := filepath.WalkDir(filepath.Dir(w.home), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if strings.Contains(string(b), value) {
			w.t.Errorf("%s holds it", p)
		}
		looked++
		return err
	})
	if err != nil || looked < 5 {
		w.t.Errorf("looked at %d files: %v", looked, err)
	}
}

// belljarPrintsNo looks for a value in what belljar says of a plan, a policy, a record.
func (w *world) belljarPrintsNo(value string, flags ...string) {
	w.t.Helper()
	for _, args := range [][]string{
		append([]string{"plan", "--json"}, flags...), append([]string{"plan"}, flags...),
		append([]string{"policy", "show"}, flags...), append([]string{"policy", "show", "--json"}, flags...),
		append(append([]string{"policy", "explain"}, flags...), "credential", "ACME_KEY"), append(append([]string{"policy", "explain"}, flags...), "env", "ACME_KEY"),
		{"log"}, {"log", "--json"}, {"log", "summary"}, {"log", "summary", "--json"},
	} {
		r := w.belljar(args...)
		if r.status != 0 || !strings.Contains(r.out, "ACME_KEY") {
			w.t.Errorf("%q: status %d\n%s%s", args, r.status, r.out, r.errout)
		}
		mustLack(w.t, strings.Join(args, " "), r.out+r.errout, value)
	}
}

// TestStandInElsewhere: a stand-in that is sent to another host is refused, and told.
func TestStandInElsewhere(t *testing.T) {
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	there := other.URL[strings.LastIndexByte(other.URL, ':')+1:]
	w.env = append(w.env, "ACME_KEY="+realKey)
	// Requests are looked at where a rule confines them or a credential is bound to the host.
	w.write("seen.yaml", "version: 1\nnetwork: {allow: [{host: localhost, ports: ["+there+"], methods: [GET]}]}\n")
	r := w.trySh(`curl -sS -H "x-note: $ACME_KEY" http://localhost:`+there+`/take`, "--policy", "seen.yaml", "--allow", "localhost:"+s.port, "--credential", "ACME_KEY=localhost:"+s.port)
	mustContain(t, "output", r.out, "refused")
	mustContain(t, "the closing lines", r.errout, "tried to carry a credential away", "ACME_KEY to localhost")
	mustContain(t, "summary", w.belljar("log", "summary").out, "credentials where they do not belong", "ACME_KEY")
}

// TestCredentialAddedLater: a value that comes from a file or a command works from the
// moment on at which it is there.
func TestCredentialAddedLater(t *testing.T) {
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	file, program := filepath.Join(w.home, ".config/acme/key"), filepath.Join(w.home, ".config/acme/print-key")
	w.write(program, "#!/bin/sh\nexec rev "+filepath.Join(w.home, ".config/acme/yek")+"\n")
	w.write(filepath.Join(w.home, ".config/acme/yek"), reversed("other-"+realKey)+"\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write("later.yaml", `version: 1
network: {allow: ["localhost:`+s.port+`"]}
credentials:
  - {name: ACME_KEY, from: {file: "`+file+`"}, hosts: ["localhost:`+s.port+`"], header: x-acme-key, paths: [/file]}
  - {name: OTHER, from: {command: ["`+program+`"]}, hosts: ["localhost:`+s.port+`"], header: x-acme-key, paths: [/command]}
`)
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := w.cmd(ctx, "run", "--policy", "later.yaml", "--", "sh", "-c", `u=https://localhost:`+s.port+`
curl -sS -H "x-acme-key: $OTHER" $u/command
curl -sS -o refused.txt -w '%{http_code} ' -H "x-acme-key: $ACME_KEY" $u/file
echo ready
read go
for i in 1 2 3 4 5 6 7 8 9; do curl -sSf -H "x-acme-key: $ACME_KEY" $u/file && exit; sleep 0.5; done`)
	var errout bytes.Buffer
	c.Stderr = &errout
	in, out := startReady(t, c)
	w.write(file, realKey+"\n")
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if werr := c.Wait(); err != nil || werr != nil {
		t.Errorf("%v %v\n%s\n%s", err, werr, rest, errout.String())
	}
	mustContain(t, "belljar's words", errout.String(), "credential ACME_KEY has no value yet")
	mustContain(t, "the refusal", w.read("refused.txt"), "ACME_KEY")
	mustLack(t, "output", string(rest)+errout.String()+w.read("refused.txt"), realKey)
	var got []string
	for _, l := range s.requests() {
		f := strings.Fields(l)
		got = append(got, f[1]+" "+f[len(f)-1])
	}
	if want := []string{"/command other-" + realKey, "/file " + realKey}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestVisibleSourceIsRefused: a file that is visible inside is no source.
func TestVisibleSourceIsRefused(t *testing.T) {
	w := newWorld(t)
	bin := filepath.Join(w.home, "tools/bin")
	w.write(filepath.Join(bin, "key"), realKey)
	w.write(filepath.Join(bin, "tool"), "#!/bin/sh\n") // a PATH entry with programs is visible
	if err := os.Chmod(filepath.Join(bin, "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append([]string{"PATH=" + bin + ":/usr/bin:/bin"}, slices.DeleteFunc(w.env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })...)
	link := filepath.Join(w.home, ".key")
	if err := os.Symlink("tools/bin/key", link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(bin, "key"), link} {
		w.write("seen.yaml", "version: 1\nnetwork: {allow: [a.test]}\ncredentials: [{name: K, from: {file: "+file+"}, hosts: [a.test]}]\n")
		r := w.trySh("true", "--policy", "seen.yaml")
		if r.status != 126 {
			t.Errorf("%s: status %d\n%s", file, r.status, r.errout)
		}
		mustContain(t, "error", r.errout, "use credential K: the sandbox can read "+file)
		mustLack(t, "error", r.errout, realKey)
	}
}

// TestRealValueIsWarnedOf: --env still passes a key, and says so.
func TestRealValueIsWarnedOf(t *testing.T) {
	testenv.Need(t, "python3")
	w := newWorld(t)
	w.env = append(w.env, "ACME_KEY="+realKey)
	w.write("look.py", looksInside)
	r := w.trySh("echo $ACME_KEY; python3 look.py "+reversed(realKey), "--env", "ACME_KEY")
	mustContain(t, "output", r.out, realKey, "FOUND in /proc/", "FOUND in memory") // by what would find it elsewhere too
	mustContain(t, "warning", r.errout, "belljar: warning: --env ACME_KEY puts the real value into the sandbox", "--credential ACME_KEY=HOST")
	w.nothingHolds(realKey)
}
