package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// borrows are ways in which the agent could use the connection, or the process, of a
// program that has a credential. Each prints what the server sent or why it failed.
const borrows = `
import ctypes, os, signal, socket, subprocess, sys, time
port, token, how = int(sys.argv[1]), os.environ["ACME_KEY"], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
request = ("GET /v1/%s HTTP/1.1\r\nHost: localhost:%d\r\nx-acme-key: %s\r\nConnection: close\r\n\r\n" % (how, port, token)).encode()
curl = ["/usr/bin/curl", "-sS", "-H", "x-acme-key: " + token, "https://localhost:%d/v1/%s" % (port, how)]
def tls(s):
    import ssl
    s = ssl.create_default_context().wrap_socket(s, server_hostname="localhost")
    s.sendall(request)
    return s.recv(65536).decode()
if how == "itself":
    print(tls(socket.create_connection(("localhost", port))))
if how == "forked": # a socket that was connected before the program was executed
    s = socket.create_connection(("localhost", port))
    os.set_inheritable(s.fileno(), True)
    p = subprocess.Popen(["/usr/bin/curl", "-sS", "--max-time", "2", "http://127.0.0.1:1/"], close_fds=False, stderr=subprocess.DEVNULL)
    print(tls(s))
if how == "taken": # a descriptor is taken out of the program
    p = subprocess.Popen(curl, stdout=subprocess.DEVNULL)
    fd = libc.syscall(434, p.pid, 0)
    got = [n for n in range(3, 30) if libc.syscall(438, fd, n, 0) >= 0]
    print("taken", got, os.strerror(ctypes.get_errno()))
    p.wait()
if how == "written": # code is written into it
    for mode in ("r+b",):
        p = subprocess.Popen(["/usr/bin/curl", "-sS", "--max-time", "3", "telnet://localhost:%d" % port], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.2)
        try: open("/proc/%d/mem" % p.pid, "r+b"); print("opened")
        except OSError as e: print("mem", e.strerror)
        class iov(ctypes.Structure): _fields_ = [("p", ctypes.c_void_p), ("n", ctypes.c_size_t)]
        b = ctypes.create_string_buffer(8); a = iov(ctypes.addressof(b), 8)
        print("vm", libc.process_vm_writev(p.pid, ctypes.byref(a), 1, ctypes.byref(a), 1, 0), os.strerror(ctypes.get_errno()))
        p.kill(); p.wait()
if how == "traced": # it is traced before it connects
    pid = os.fork()
    if pid == 0:
        libc.ptrace(0, 0, 0, 0)
        os.execv(curl[0], curl)
    os.waitpid(pid, 0)
    libc.ptrace(17, pid, 0, 0)
    os.waitpid(pid, 0)
if how == "attached":
    r, w = os.pipe()
    p = subprocess.Popen(["/usr/bin/curl", "-sS", "-K", "-"], stdin=subprocess.PIPE) # reads what to do from us
    time.sleep(0.2)
    assert libc.ptrace(16, p.pid, 0, 0) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(p.pid, 0)
    libc.ptrace(17, p.pid, 0, 0)
    p.communicate(('url = "https://localhost:%d/v1/attached"\nheader = "x-acme-key: %s"\n' % (port, token)).encode())
if how == "engine": # it is told to load code of ours
    subprocess.run(["/usr/bin/curl", "--engine", "/tmp/none.so"] + curl[1:])
if how == "named": # ... which calls itself a file that nobody can write
    fd = libc.memfd_create(b"x/../../usr/lib/none.so", 0)
    os.write(fd, open("/tmp/none.so", "rb").read())
    subprocess.run(["/usr/bin/curl", "--engine", "/proc/self/fd/%d" % fd] + curl[1:], pass_fds=[fd])
if how == "filtered": # its system calls are what we say: openat opens descriptor 0
    libc.prctl(38, 1, 0, 0, 0)
    insns = (ctypes.c_uint64 * 4)(*[c | a << 16 | b << 24 | k << 32 for c, a, b, k in [(0x20, 0, 0, 0), (0x15, 0, 1, 157), (0x06, 0, 0, 0x50000), (0x06, 0, 0, 0x7fff0000)]])
    class prog(ctypes.Structure): _fields_ = [("n", ctypes.c_ushort), ("p", ctypes.c_void_p)]
    if libc.prctl(22, 2, ctypes.byref(prog(4, ctypes.addressof(insns)))): print("filter", os.strerror(ctypes.get_errno()))
    os.execv(curl[0], curl)
if how == "namespace":
    print("unshare", libc.unshare(0x10000000), os.strerror(ctypes.get_errno()))
`

// TestCredentialOfOneProgram: a credential that is for one program is put into its requests
// and into nobody else's, however they come by the program's name, connection or process.
func TestCredentialOfOneProgram(t *testing.T) {
	testenv.Need(t, "python3", "curl", "gcc")
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	w.env = append(w.env, "ACME_KEY="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write("borrow.py", borrows)
	w.write("none.c", "unsigned long v_check(unsigned long v) { return v; }\nint bind_engine(void *e, const char *id, void *f) { return 1; }\n") // an engine of OpenSSL
	w.write("belljar-test.yaml", `version: 1
network: {allow: [{host: localhost, ports: [`+s.port+`], methods: [GET], paths: ["/v1/**"]}]}
credentials:
  - {name: ACME_KEY, hosts: ["localhost:`+s.port+`"], header: x-acme-key, programs: [/usr/bin/curl]}
`)
	if !ownKernel() {
		r := w.trySh("true", "--policy", "belljar-test.yaml")
		mustContain(t, "the refusal", r.errout, "which program opened a connection", "--tier gvisor")
		if r.status != 126 {
			t.Errorf("status %d", r.status)
		}
		r = w.trySh(`curl -sS -H "x-acme-key: $ACME_KEY" https://localhost:`+s.port+`/v1/effort`, "--policy", "belljar-test.yaml", "--best-effort")
		mustContain(t, "what is said", r.errout, "not enforced here: programs")
		if l := s.requests(); len(l) != 0 {
			t.Errorf("the server was asked %q", l)
		}
		return
	}
	line := `
u=https://localhost:` + s.port + `/v1
h="x-acme-key: $ACME_KEY"
curl -sS -H "$h" $u/curl
/bin/sh -c 'exec curl -sS -H "$0" $1/script' "$h" $u
curl -sS --http1.1 -x http://198.18.0.1:3128 --proxytunnel --noproxy '' -H "$h" $u/proxy
curl -sS $u/told-of-none
cp /usr/bin/curl /tmp/curl && /tmp/curl -sS -H "$h" $u/copy
(bash -c 'exec -a /usr/bin/curl "$@"' - python3 borrow.py ` + s.port + ` itself)
gcc -shared -o /tmp/none.so none.c
LD_PRELOAD=/tmp/none.so curl -sS -H "$h" $u/preload
LD_LIBRARY_PATH=/tmp curl -sS -H "$h" $u/library
OPENSSL_CONF=/tmp/x curl -sS -H "$h" $u/openssl
$(ls /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 2>/dev/null | head -1) /usr/bin/curl -sS -H "$h" $u/loader
wget -qO- --header "$h" $u/wget || echo wget failed
for how in forked taken written traced attached engine named filtered namespace; do echo "== $how"; python3 borrow.py ` + s.port + ` $how 2>&1; done
`
	r := w.trySh(line, "--policy", "belljar-test.yaml")
	t.Log(r.out, r.errout)
	var with []string
	for _, q := range s.requests() {
		if strings.Contains(q, realKey) {
			with = append(with, strings.Fields(q)[1])
		}
	}
	slices.Sort(with)
	if want := []string{"/v1/curl", "/v1/proxy", "/v1/script", "/v1/taken", "/v1/told-of-none"}; !slices.Equal(with, want) {
		t.Errorf("given to %q, want %q", with, want)
	}
	mustContain(t, "what is said inside", r.out, "ACME_KEY is for /usr/bin/curl only, and /tmp/curl opened this connection", "LD_PRELOAD", "LD_LIBRARY_PATH", "OPENSSL_CONF",
		"another program traced it", "taken []", "mem Read-only file system", "vm -1 Operation not permitted", "unshare -1 Operation not permitted", "python3", "wget failed")
	log := w.belljar("log", "--json").out
	mustContain(t, "the record", log, `"program":"/usr/bin/curl"`, `"program":"/tmp/curl"`, `"program":"/usr/bin/wget"`)
	mustLack(t, "output", r.out+r.errout+log, realKey)
}

// TestCredentialOfThreads: what a program was started with is known whichever thread of
// whichever process executed it, also of the first one, which nobody inside has started.
func TestCredentialOfThreads(t *testing.T) {
	if !ownKernel() {
		t.Skip("refused: TestCredentialOfOneProgram")
	}
	testenv.Need(t, "python3", "curl")
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	w.env = append(w.env, "ACME_KEY="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write("belljar-test.yaml", `version: 1
network: {allow: [{host: localhost, ports: [`+s.port+`], methods: [GET], paths: ["/v1/**"]}]}
credentials:
  - {name: ACME_KEY, hosts: ["localhost:`+s.port+`"], header: x-acme-key, programs: [/usr/bin/curl]}
`)
	w.write("thread.py", `
import os, sys, threading, time
def run():
    if sys.argv[1]: os.environ["LD_PRELOAD"] = sys.argv[1]
    os.execv("/usr/bin/curl", ["curl", "-sS", "-H", "x-acme-key: " + os.environ["ACME_KEY"], sys.argv[2]])
threading.Thread(target=run).start()
time.sleep(60)
`)
	direct := w.belljar("run", "--policy", "belljar-test.yaml", "--", "curl", "-sS", "https://localhost:"+s.port+"/v1/direct")
	clean := w.belljar("run", "--policy", "belljar-test.yaml", "--", "python3", "thread.py", "", "https://localhost:"+s.port+"/v1/clean")
	loaded := w.belljar("run", "--policy", "belljar-test.yaml", "--", "python3", "thread.py", "/nothing.so", "https://localhost:"+s.port+"/v1/loaded")
	mustContain(t, "what is said of what was loaded", loaded.out, "LD_PRELOAD")
	for _, path := range []string{"/v1/direct", "/v1/clean", "/v1/loaded"} {
		given := slices.ContainsFunc(s.requests(), func(q string) bool { return strings.Contains(q, path+" ") && strings.Contains(q, realKey) })
		if given == (path == "/v1/loaded") {
			t.Errorf("%s: given %t\n%s%s\n%s%s", path, given, direct.out, direct.errout, clean.out, clean.errout)
		}
	}
}

// TestCredentialOfNoProgram: a credential is not for a program that runs anything, is a script,
// or can be changed inside; the error says why.
func TestCredentialOfNoProgram(t *testing.T) {
	if !ownKernel() {
		t.Skip("refused whatever the program is")
	}
	w := newWorld(t)
	w.env = append(w.env, "ACME_KEY="+realKey)
	w.write("tool", "#!/bin/sh\n")
	for program, why := range map[string]string{
		"/usr/bin/perl":       "runs what it is told to",
		"/usr/bin/nothing":    "not there",
		w.proj + "/tool":      "script",
		"/usr/bin/cu*":        "no path of a program",
		"curl":                "no path of a program",
		"/usr/bin/ldd":        "script",
		"/usr/lib/os-release": "no program of this system",
	} {
		w.write("belljar-test.yaml", "version: 1\nnetwork: {allow: [api.acme.dev]}\ncredentials: [{name: ACME_KEY, hosts: [api.acme.dev], programs: ["+program+"]}]\n")
		r := w.belljar("plan", "--policy", "belljar-test.yaml", "sh")
		mustContain(t, program, r.errout, why)
		if r.status == 0 {
			t.Errorf("%s is accepted", program)
		}
	}
}
