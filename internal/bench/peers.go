package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A proxy is one way from the client to the server: itself, and how it is asked.
type proxy struct {
	name string
	addr string // of the proxy; empty: direct
	key  string // that the client sends
	aim  string // which of the aims are its
	seen bool   // TLS is ended in it, and it puts the key in
	few  bool   // it is too slow for as many requests as the others get
	cmd  *exec.Cmd
	why  string // it is not there
}

// words of the roles that this program has beside the client's.
const (
	gateWord   = "gateway"
	mitmWord   = "mitm"
	tunnelWord = "tunnel"
)

// peers starts what is compared, in dir. What is missing says so.
func peers(dir string, s *site) []*proxy {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	ours := &proxy{name: "belljar's gateway, passed", aim: "passed"}
	line := ours.start(exec.Command(self, gateWord, dir, s.port(false), s.port(true)))
	addr, standIn, _ := strings.Cut(line, " ")
	ours.addr = addr
	std := &proxy{name: "std MITM, 90 lines", seen: true}
	std.addr = std.start(exec.Command(self, mitmWord, s.root))
	pipe := &proxy{name: "std tunnel, 20 lines"}
	pipe.addr = pipe.start(exec.Command(self, tunnelWord))
	return []*proxy{
		ours,
		{name: "belljar's gateway, seen, a key", aim: "seen", seen: true, addr: addr, key: standIn, cmd: ours.cmd, why: ours.why},
		squid(dir, "Squid CONNECT", s), pipe, squid(dir, squidBump, s), std, mitmproxy(dir, s),
	}
}

// direct is the same without the proxy.
func (p *proxy) direct() *proxy {
	d := &proxy{seen: p.seen}
	if p.seen {
		d.key = benchKey
	}
	return d
}

// start starts a program of ours, which says where it listens.
func (p *proxy) start(cmd *exec.Cmd) string {
	cmd.Env = append(os.Environ(), keyVariable+"="+benchKey)
	out, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = os.Stderr
		err = cmd.Start()
	}
	if err != nil {
		p.why = err.Error()
		return ""
	}
	p.cmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.why = "it says nothing"
	}
	return strings.TrimSpace(line)
}

// listen starts another program and waits until it listens.
func (p *proxy) listen(addr string, cmd *exec.Cmd) {
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.why = err.Error()
		return
	}
	p.cmd, p.addr = cmd, addr
	for range 200 { // 10 s
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	p.end()
	p.cmd, p.why = nil, "it does not listen: "+log.String()
}

// end ends the program.
func (p *proxy) end() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// spent is the processor time of the proxy and what it started.
func (p *proxy) spent() time.Duration {
	if p.cmd == nil {
		return 0
	}
	sum := time.Duration(0)
	for _, pid := range append(testenv.Descendants(p.cmd.Process.Pid), p.cmd.Process.Pid) {
		sum += spent(pid)
	}
	return sum
}

// spent is the processor time of a process, 0 when there is none.
func spent(pid int) time.Duration {
	const whole = 2 // CPUCLOCK_SCHED, of a process; see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|whole), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// resident is the memory of the proxy in MB.
func (p *proxy) resident() float64 {
	if p.cmd == nil {
		return 0
	}
	return float64(pss(p.cmd.Process.Pid)) / 1024
}

const squidBump = "Squid bump"

// squid is Squid as a tunnel, or ending TLS with a header set.
func squid(dir, name string, s *site) *proxy {
	p := &proxy{name: name, seen: name == squidBump}
	dir = filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
	addr, err := free()
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		p.why = err.Error()
		return p
	}
	conf := fmt.Sprintf("http_access allow all\ncache deny all\naccess_log none\ncache_log %[1]s/log\npid_filename none\nvisible_hostname bench\n"+
		"shutdown_lifetime 0\ncoredump_dir %[1]s\nhttp_port %[2]s", dir, addr)
	if p.seen {
		const certgen = "/usr/lib/squid/security_file_certgen"
		db := filepath.Join(dir, "certs")
		if out, err := exec.Command(certgen, "-c", "-s", db, "-M", "4MB").CombinedOutput(); err != nil {
			p.why = fmt.Sprintf("squid-openssl is not installed: %v %s", err, out)
			return p
		}
		conf += " ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert=" + s.pair +
			"\nsslcrtd_program " + certgen + " -s " + db + " -M 4MB\nssl_bump bump all\ntls_outgoing_options cafile=" + s.root +
			"\nrequest_header_access X-Api-Key deny all\nrequest_header_add X-Api-Key " + benchKey + " all"
	}
	file := filepath.Join(dir, "conf")
	if err := errors.Join(os.WriteFile(file, []byte(conf+"\n"), 0o644), give(dir)); err != nil {
		p.why = err.Error()
		return p
	}
	p.listen(addr, exec.Command("squid", "-N", "-f", file))
	return p
}

// give makes a folder the user's that Squid becomes when root starts it.
func give(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("proxy")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, -1))
	})
}

// mitmproxy is mitmdump with a header set.
func mitmproxy(dir string, s *site) *proxy {
	p := &proxy{name: "mitmproxy", seen: true, few: true}
	addr, err := free()
	if err != nil {
		p.why = err.Error()
		return p
	}
	_, port, _ := net.SplitHostPort(addr)
	p.listen(addr, exec.Command("mitmdump", "--listen-host", "127.0.0.1", "--listen-port", port, "--set", "confdir="+filepath.Join(dir, "mitmproxy"),
		"--set", "stream_large_bodies=1m", "--set", "ssl_verify_upstream_trusted_ca="+s.root, "--modify-headers", "/~q/X-Api-Key/"+benchKey, "--quiet"))
	return p
}

// free is an address that nothing listens at.
func free() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
