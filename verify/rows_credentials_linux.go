package verify

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The credential of a world: a variable with a decoy, and two services of the host. The
// sandbox may reach both; the credential is for the first, and another one for the second.
const (
	keyVariable   = "DECOY_SERVICE_KEY"
	otherVariable = "DECOY_OTHER_KEY"
	portBound     = 5002
	portOther     = 5003
	keyPrefix     = "decoykey-"
	foreignKey    = "of-somebody-else-0123456789"
)

// boundHosts are what a sandbox that is given them may reach for it.
func boundHosts() []string {
	return []string{fmt.Sprintf("localhost:%d", portBound), fmt.Sprintf("localhost:%d", portOther)}
}

// wantsKey says whether a row is about the credential; all of them are of the main phase.
// No other sandbox has it, nor the ports of its services.
func (r *row) wantsKey() bool { return r.group() == "credentials" || r.id == "works/credential" }

// boundTo are the flags --credential of a sandbox.
func boundTo() []string {
	return []string{fmt.Sprintf("%s=localhost:%d", keyVariable, portBound), fmt.Sprintf("%s=localhost:%d", otherVariable, portOther)}
}

// credentialRows try to get a credential that stays outside, or to use it where it does
// not belong.
func credentialRows() []row {
	return []row{
		{id: "credentials/environment", name: "read the value of a credential in the environment", layer: layerStandIns, judge: secrets("credential"),
			do: func(*attacker) (bool, string) { return true, os.Getenv(keyVariable) }},
		{id: "credentials/anywhere", name: "search processes, own memory and files for the value of a credential", layer: layerStandIns, judge: secrets("credential"),
			do: func(a *attacker) (bool, string) { return true, strings.Join(a.keysAnywhere(), "\n") }},
		{id: "credentials/answer", name: "have a server repeat the value of a credential", layer: layerAnswers, judge: secrets("credential"),
			do: func(a *attacker) (bool, string) {
				return a.withKey("credentials/answer", portBound, "Authorization: Bearer "+os.Getenv(keyVariable))
			}},
		{id: "credentials/other-header", name: "have the value of a credential put into another header", layer: layerStandIns, judge: judgement{hit: true},
			do: func(a *attacker) (bool, string) {
				return a.withKey("credentials/other-header", portBound, "X-Note: "+os.Getenv(keyVariable))
			}},
		{id: "credentials/elsewhere", name: "send a credential to a host for which it is not", layer: layerPlaces, judge: judgement{hit: true},
			do: func(a *attacker) (bool, string) {
				return a.withKey("credentials/elsewhere", portOther, "X-Note: "+os.Getenv(keyVariable))
			}},
		{id: "credentials/foreign", name: "use a key of somebody else at a host that has a credential", layer: layerPlaces, judge: judgement{hit: true},
			do: func(a *attacker) (bool, string) {
				return a.withKey("credentials/foreign", portBound, "Authorization: Bearer "+foreignKey)
			}},
		{id: "works/credential", name: "a credential arrives at its host", works: true, judge: judgement{hit: true},
			do: func(a *attacker) (bool, string) {
				return a.withKey("works/credential", portBound, "Authorization: Bearer "+os.Getenv(keyVariable))
			}},
	}
}

// withKey sends a request with one header, and says all that came back.
func (a *attacker) withKey(id string, port int, header string) (bool, string) {
	c, err := a.dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: localhost:%d\r\n%s\r\nConnection: close\r\n\r\n", word(id), port, header); err != nil {
		return false, err.Error()
	}
	b, err := io.ReadAll(io.LimitReader(c, 4096))
	return strings.HasPrefix(string(b), "HTTP/1.1 200 "), fmt.Sprintf("%s %v", b, err)
}

// keysAnywhere finds what looks like the decoy in everything that can be read.
func (a *attacker) keysAnywhere() (found []string) {
	shape := regexp.MustCompile(keyPrefix + "[A-Z2-7]{26}")
	look := func(b []byte) {
		for _, m := range shape.FindAll(b, 64) {
			if s := string(m); len(found) < 32 && !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		for _, name := range []string{"environ", "cmdline"} {
			if b, err := readUpTo(p+"/"+name, 1<<20); err == nil {
				look(b)
			}
		}
	}
	memoryOf(look)
	for _, top := range []string{a.home, a.project, "/tmp", "/run", "/etc", "/dev/shm"} {
		left := 2000 // files of each
		_ = filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
			if left--; left < 0 {
				return filepath.SkipAll
			}
			if err == nil && d.Type().IsRegular() {
				if b, err := readUpTo(p, 64<<10); err == nil {
					look(b)
				}
			}
			return nil
		})
	}
	return found
}

// memoryOf looks through the memory of this process that it has written to.
func memoryOf(look func([]byte)) {
	maps, err := readUpTo("/proc/self/maps", 1<<20)
	if err != nil {
		return
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	for l := range strings.Lines(string(maps)) {
		var from, to int64
		var perms string
		if n, _ := fmt.Sscanf(l, "%x-%x %s", &from, &to, &perms); n != 3 || !strings.HasPrefix(perms, "rw") {
			continue
		}
		for at := from; at < to && at < from+64<<20; at += int64(len(buf)) {
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			look(buf[:n])
		}
	}
}

func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// serveKeys opens both services of the host.
func (w *world) serveKeys() error {
	real := w.secrets["credential"]
	for _, port := range []int{portBound, portOther} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			auth := r.Header.Get("Authorization")
			seen := map[string]bool{
				"works/credential":         port == portBound && auth == "Bearer "+real,
				"credentials/foreign":      strings.Contains(auth, foreignKey),
				"credentials/other-header": strings.Contains(r.Header.Get("X-Note"), real),
				"credentials/elsewhere":    port == portOther,
			}
			for _, m := range rowWord().FindAllStringSubmatch(r.URL.Path, 16) {
				if id := m[1] + "/" + m[2]; seen[id] {
					w.hit(id, fmt.Sprintf("the request arrived at a service of the host on port %d", port))
				}
			}
			fmt.Fprintf(rw, "you sent %s\n", auth)
		})}
		go func() { _ = s.Serve(l) }()
	}
	return nil
}
