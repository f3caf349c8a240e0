package verify

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"golang.org/x/sys/unix"
)

// confinedRows look from outside at the processes of the sandbox, those of the tier
// too: an attacker who takes one over has what it has. They belong to the phase that
// runs alone, so that no other sandbox is half built meanwhile.
func confinedRows() []row {
	look := func(id, name string, judge func(w *world, p []process) (bool, string)) row {
		return row{
			id: "confined/" + id, name: name, phase: phaseReview,
			do: func(*attacker) (bool, string) { return false, "judged from outside" },
			judge: judgement{held: func(w *world) (bool, string) {
				p, err := w.processesInside()
				if err != nil || len(p) == 0 { // what cannot be seen is not taken for good
					return true, fmt.Sprint("no process of the sandbox was seen: ", err)
				}
				return judge(w, p)
			}},
		}
	}
	calls := look("filter", "a process of the sandbox without a system call filter", unfiltered)
	calls.req = belljar.ReqCalls
	caps := look("capabilities", "a process of the sandbox that holds, or may gain, more than capabilities over files", privileged)
	caps.req = belljar.ReqPrivileges
	privs := look("new-privileges", "a process of the sandbox that a program may give privileges", gains)
	privs.req = belljar.ReqPrivileges
	privs.excuse = func() string {
		if self, err := readProcess(os.Getpid()); err == nil && self.status["NoNewPrivs"] == "1" {
			return "the caller cannot gain privileges either (no_new_privs)"
		}
		return ""
	}
	files := look("descriptors", "a secret that the caller left open, in a process of the sandbox", holdsSecret)
	files.layer = ablate.Descriptors
	out := []row{calls, caps, privs, files}
	for _, n := range []struct{ name, layer string }{
		{"pid", ablate.NSPID}, {"net", ablate.NSNet}, {"ipc", ablate.NSIPC}, {"uts", ablate.NSUTS},
	} {
		r := look("ns-"+n.name, "a process of the sandbox in the host's "+n.layer, shares(n.name))
		r.layer = n.layer
		out = append(out, r)
	}
	return out
}

// A process is what /proc says of one.
type process struct {
	pid    int
	argv   string
	attack bool // it is an attacker, not who starts one
	status map[string]string
}

func readProcess(pid int) (process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := readStatus(dir)
	if err != nil {
		return process{}, err
	}
	p := process{pid: pid, status: status}
	argv, err := os.ReadFile(dir + "/cmdline")
	words := bytes.Split(argv, []byte{0})
	p.attack = len(words) > 2 && string(words[1]) == attackWord
	p.argv = string(bytes.ReplaceAll(argv, []byte{0}, []byte{' '}))
	return p, err
}

// readStatus reads what is told of a process or of one of its threads.
func readStatus(dir string) (map[string]string, error) {
	b, err := os.ReadFile(dir + "/status")
	status := map[string]string{}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok {
			status[k] = strings.TrimSpace(v)
		}
	}
	return status, err
}

func (p process) String() string {
	return fmt.Sprintf("process %d of the host (%.40s)", p.pid, p.argv)
}

// deep is in how many PID namespaces a process is.
func (p process) deep() int { return len(strings.Fields(p.status["NSpid"])) }

func deepestOf(all []process) int {
	return slices.MaxFunc(all, func(a, b process) int { return a.deep() - b.deep() }).deep()
}

// processesInside are those in a user namespace other than ours, and those that attack.
func (w *world) processesInside() ([]process, error) {
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return nil, err
	}
	self, err := readProcess(os.Getpid())
	if err != nil {
		return nil, err
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	var out []process
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		p, err := readProcess(pid)
		if err != nil || strings.HasPrefix(p.status["State"], "Z") || pid == os.Getpid() || pid == w.web {
			continue // it is gone, or ours
		}
		theirs, err := os.Readlink(dir + "/ns/user")
		if err == nil && theirs == ours && !p.attack {
			continue
		}
		if os.IsPermission(err) && p.deep() <= self.deep() && !p.attack {
			continue // a helper of ours that nobody may look into; who is inside is in a PID namespace below
		}
		out = append(out, p)
	}
	return out, nil
}

// unfiltered finds a thread that has no filter more than we have. Left out is who
// only starts and reaps what is in PID namespaces below its own.
func unfiltered(_ *world, all []process) (bool, string) {
	deepest := deepestOf(all)
	self, err := readProcess(os.Getpid())
	if err != nil {
		return true, err.Error()
	}
	count := func(status map[string]string) int {
		n, err := strconv.Atoi(status["Seccomp_filters"])
		if err != nil && status["Seccomp"] == "2" {
			n = 1 // before Linux 5.9
		}
		return n
	}
	threads := 0
	for _, p := range all {
		if p.deep() != deepest {
			continue
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", p.pid))
		for _, task := range tasks {
			status, err := readStatus(task)
			if err == nil && !strings.HasPrefix(status["State"], "Z") && count(status) <= count(self.status) {
				return true, fmt.Sprintf("%v: thread %s has no filter of its own", p, filepath.Base(task))
			}
			threads++
		}
	}
	return false, fmt.Sprintf("each of %d threads has one", threads)
}

// overFiles are the capabilities that change nothing but who may open which file, all
// of it below the process's own root.
const overFiles = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_FSETID | 1<<unix.CAP_SYS_CHROOT

func privileged(_ *world, all []process) (bool, string) {
	deepest := deepestOf(all)
	for _, p := range all {
		sets := []string{"CapPrm", "CapEff", "CapAmb"}
		if p.status["NoNewPrivs"] != "1" || p.deep() == deepest {
			sets = append(sets, "CapBnd")
		}
		for _, set := range sets {
			held, err := strconv.ParseUint(p.status[set], 16, 64)
			if more := held &^ overFiles; err != nil || more != 0 {
				return true, fmt.Sprintf("%v: %s is %s", p, set, p.status[set])
			}
		}
	}
	return false, "none"
}

func gains(_ *world, all []process) (bool, string) {
	for _, p := range all {
		if p.status["NoNewPrivs"] != "1" {
			return true, fmt.Sprintf("%v has no no_new_privs", p)
		}
	}
	return false, "none"
}

// shares finds a process that is in the same namespace as we are.
func shares(name string) func(*world, []process) (bool, string) {
	return func(_ *world, all []process) (bool, string) {
		ours, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			return true, err.Error()
		}
		for _, p := range all {
			theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.pid, name))
			if os.IsNotExist(err) {
				continue // it ended
			}
			if err != nil || theirs == ours {
				return true, fmt.Sprintf("%v is in %s, as the host: %v", p, ours, err)
			}
		}
		return false, "each is in one of its own"
	}
}

// holdsSecret looks for the file that [world.leaveOpen] left open.
func holdsSecret(w *world, all []process) (bool, string) {
	secret, err := os.Stat(filepath.Join(w.home, ".ssh/id_rsa"))
	if err != nil {
		return true, err.Error()
	}
	seen := 0
	for _, p := range all {
		dir := fmt.Sprintf("/proc/%d/fd/", p.pid)
		list, err := os.ReadDir(dir)
		if err != nil {
			continue // it ended, or hides its memory; what it started does not
		}
		seen++
		for _, fd := range list {
			if fi, err := os.Stat(dir + fd.Name()); err == nil && os.SameFile(fi, secret) {
				return true, fmt.Sprintf("%v has it open as %s", p, fd.Name())
			}
		}
	}
	return seen == 0, fmt.Sprintf("%d of %d processes were looked at", seen, len(all))
}

// secondRows try what only a second line of the tier stops.
func secondRows() []row {
	return []row{
		{id: "reads/hostname", name: "read the host's name", req: belljar.ReqReads, judge: secrets("hostname"), sh: "uname -n; cat /proc/sys/kernel/hostname"},
		{id: "process/cgroup-path", name: "read where in the host's control groups it is", req: belljar.ReqReads, do: files("/proc/self/cgroup"),
			judge: judgement{host: func(w *world) (bool, string) {
				for _, path := range cgroupPaths() {
					if strings.Contains(w.said.of["process/cgroup-path"].evidence, path) {
						return true, path + " came out"
					}
				}
				return false, ""
			}}, excuse: func() string {
				if len(cgroupPaths()) == 0 {
					return "this process is in no control group but the topmost"
				}
				return ""
			}},
		{id: "process/oom-score", name: "have others killed first when memory is short", req: belljar.ReqWrites, own: true, judge: judgement{held: oomScoreHeld},
			do: func(*attacker) (bool, string) {
				err := os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
				return err == nil, fmt.Sprint(err)
			}},
		{id: "process/capabilities", name: "hold a capability, or be able to gain one", req: belljar.ReqPrivileges, do: func(*attacker) (bool, string) {
			p, err := readProcess(os.Getpid())
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				if strings.Trim(p.status[set], "0") != "" {
					return true, set + " is " + p.status[set]
				}
			}
			return false, fmt.Sprint(err)
		}},
		{id: "kernel/namespace-limits", name: "have room for further namespaces, would the filter let them through", req: belljar.ReqCalls, do: func(*attacker) (bool, string) {
			b, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
			n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			return n > 0, fmt.Sprintf("%s %v", b, err)
		}},
	}
}

// oomScore is lower than what a tier gives, and nobody has it by chance.
const oomScore = "321"

func oomScoreHeld(*world) (bool, string) {
	all, _ := filepath.Glob("/proc/[0-9]*/oom_score_adj")
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && strings.TrimSpace(string(b)) == oomScore {
			return true, p + " of the host is " + oomScore
		}
	}
	return false, "no process of the host has it"
}

// cgroupPaths are the control groups of this process that say something.
func cgroupPaths() []string {
	b, _ := os.ReadFile("/proc/self/cgroup")
	var out []string
	for l := range strings.Lines(string(b)) {
		if f := strings.SplitN(strings.TrimSpace(l), ":", 3); len(f) == 3 && len(f[2]) > 3 {
			out = append(out, f[2])
		}
	}
	return out
}
