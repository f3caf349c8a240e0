package gvisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// baseSpec is the specification without the first process, which is enough for the
// gofer. Annotations give gVisor exclusive access where nobody else writes.
func baseSpec(p *belljar.Plan, l *layout) *specs.Spec {
	s := &specs.Spec{
		Version:     "1.2.0",
		Root:        &specs.Root{Path: l.root, Readonly: true},
		Hostname:    p.Hostname,
		Process:     &specs.Process{Cwd: "/", Args: []string{"/"}, Capabilities: &specs.LinuxCapabilities{}},
		Linux:       &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}},
		Annotations: map[string]string{},
	}
	seen := map[string]bool{}
	for i, m := range l.mounts {
		options := slices.Concat(m.options, hostOptions(m.host))
		s.Mounts = append(s.Mounts, specs.Mount{
			Type: m.kind, Source: m.source, Destination: m.target, Options: options,
		})
		if m.kind != "bind" || !m.exclusive || seen[m.source] {
			continue
		}
		seen[m.source] = true
		// "container" means: nobody outside sees it; with a plain gofer mount that is
		// nothing but leave to cache.
		prefix := "dev.gvisor.spec.mount.m" + strconv.Itoa(i) + "."
		s.Annotations[prefix+"source"] = m.source
		s.Annotations[prefix+"type"] = "bind"
		s.Annotations[prefix+"share"] = "container"
		s.Annotations[prefix+"options"] = strings.Join(options, ",")
	}
	return s
}

// hostOptions are the options that gVisor needs for a bind of the host's path: it adds
// them itself only where the gofer tells it the mounts.
func hostOptions(path string) []string {
	var st unix.Statfs_t
	if path == "" || unix.Statfs(path, &st) != nil {
		return nil
	}
	switch st.Type {
	case unix.OVERLAYFS_SUPER_MAGIC:
		return []string{"overlayfs_stale_read"}
	case unix.NFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC:
		return []string{noSharing}
	}
	return nil
}

// noSharing lets a close inside be a close of the host's descriptor, which is when a
// remote file system or a FUSE server learns of the data.
const noSharing = "disable_file_handle_sharing"

// withProcess adds the init process: c, in the environment env. It may
// have so many processes more than the plan says.
func withProcess(s *specs.Spec, p *belljar.Plan, c belljar.Exec, env []string, extra int) *specs.Spec {
	procs := uint64(p.Limits.Processes + extra)
	out := *s
	id := p.Identity
	out.Process = &specs.Process{
		User:            specs.User{UID: uint32(id.UID), GID: uint32(id.GID)},
		Args:            c.Argv,
		Env:             env,
		Cwd:             c.Dir,
		Capabilities:    &specs.LinuxCapabilities{},
		NoNewPrivileges: true,
		Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: uint64(p.Limits.Files), Hard: uint64(p.Limits.Files)},
			{Type: "RLIMIT_NPROC", Soft: procs, Hard: procs},
			{Type: "RLIMIT_CORE"},
		},
	}
	return &out
}

func specFile(s *specs.Spec) (*os.File, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the specification: %w", err)
	}
	return wire.Memory("spec", b)
}

// mountConfs says that the root and every bind is served by the gofer, with
// nothing on top.
func (l *layout) mountConfs() (string, int) {
	n := 1
	for _, m := range l.mounts {
		if m.kind == "bind" {
			n++
		}
	}
	return strings.TrimSuffix(strings.Repeat("lisafs:none,", n), ","), n
}

func isBelow(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
