package verify

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// What the sandbox of this phase has rules about: a program that is denied whole, and a
// credential that one program may use.
const (
	deniedProgram = "cksum" // everywhere, and nothing needs it
	toolProgram   = "/usr/bin/curl"
	toolVariable  = "DECOY_TOOL_KEY"
	portTool      = 5004
)

// ruleRows try to run a program that a rule denies, and to use a credential that is for
// another program.
func ruleRows() []row {
	denied := func(id, name, sh string) row {
		return row{
			id: "denied/" + id, name: name, phase: phaseRules, layer: ablate.Commands, excuse: programMissing(deniedProgram),
			sh: "mkdir -p denied-" + id + " && cd denied-" + id + " && p=$(command -v " + deniedProgram + " || echo /usr/bin/" + deniedProgram + ") && " + sh,
		}
	}
	curl := func(program, id string) string {
		return fmt.Sprintf("%s -s --max-time 20 -H \"Authorization: Bearer $%s\" http://127.0.0.1:%d/%s", program, toolVariable, portTool, word(id))
	}
	tool := func(id, name, sh string) row {
		return row{
			id: "programs/" + id, name: name, phase: phaseRules, layer: ablate.Programs, req: belljar.ReqPrograms,
			excuse: programMissing("curl"), judge: judgement{hit: true}, sh: sh,
		}
	}
	works := tool("itself", "a credential for one program arrives by it", curl(toolProgram, "programs/itself"))
	works.works = true
	other := tool("other", "use a credential that is for another program", "")
	other.do = func(a *attacker) (bool, string) {
		return a.withKey("programs/other", portTool, "Authorization: Bearer "+os.Getenv(toolVariable))
	}
	return []row{
		denied("direct", "run a program that a rule denies", "$p < /dev/null"),
		denied("loader", "run a denied program by the dynamic linker", "for ld in /lib64/ld-linux*.so.* /lib/ld-linux*.so.* /lib/ld-musl*; do if test -e $ld; then exec $ld $p < /dev/null; fi; done; false"),
		denied("copy", "run a copy of a denied program", "cp $p . && ./"+deniedProgram+" < /dev/null"),
		denied("link", "run a denied program by a link with another name", "ln -s $p other && ./other < /dev/null"),
		denied("descriptor", "run a denied program by a descriptor", "exec 5< $p && /proc/self/fd/5 < /dev/null"),
		works,
		other,
		tool("copy", "use a credential by a copy of its program", "cp "+toolProgram+" programs-copy && "+curl("./programs-copy", "programs/copy")),
	}
}

// rules are the flags of the sandbox of this phase. What the tier does not hold of them is
// left out and declared: the rows say so.
func (w *world) rules(j *Job) error {
	j.BestEffort = true
	text := fmt.Sprintf("version: 1\nnetwork: {allow: ['localhost:%d']}\ncommands: {deny: ['%s *']}\n", portTool, deniedProgram)
	if programMissing("curl")() == "" {
		text += fmt.Sprintf("credentials: [{name: %s, hosts: ['localhost:%d'], programs: [%s]}]\n", toolVariable, portTool, toolProgram)
	}
	j.PolicyFile = "/tmp/belljar-verify-rules.yaml"
	return os.WriteFile(j.PolicyFile, []byte(text), 0o600)
}

// serveTool opens the service of the host that the credential is for.
func (w *world) serveTool() error {
	real := w.secrets["tool"]
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", portTool))
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, id := range []string{"programs/itself", "programs/other", "programs/copy"} {
			if r.Header.Get("Authorization") == "Bearer "+real && strings.Contains(r.URL.Path, word(id)) {
				w.hit(id, "the credential arrived at its service")
			}
		}
	})}
	go func() { _ = s.Serve(l) }()
	return nil
}
