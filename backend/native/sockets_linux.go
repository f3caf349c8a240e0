package native

import (
	"os"
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
)

// hostSockets are the places inside at which sockets of the host would appear that
// are bound now. Later ones are the gap that [Backend.Probe] declares.
func hostSockets(p *belljar.Plan) []string {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	return socketsBelow(string(b), p.Mounts)
}

// socketsBelow reads the kernel's list of sockets: the eighth column is a path.
func socketsBelow(list string, mounts []belljar.Mount) []string {
	var out []string
	for line := range strings.SplitSeq(list, "\n") {
		_, name, ok := strings.Cut(line, " /")
		if !ok {
			continue
		}
		name = "/" + name
		for _, m := range mounts {
			if m.Kind == belljar.MountBind && isBelow(name, m.Source) {
				out = append(out, path.Join(m.Target, strings.TrimPrefix(name, m.Source)))
			}
		}
	}
	return out
}
