package credential

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/terminal"
)

// opened is what was answered to the question who opened the connection.
type opened struct {
	belljar.Opened
	err error
}

// stranger says why c, which may be for some programs only, is not for the one that opened
// the connection; empty: it is.
func (j *judge) stranger(ctx context.Context, c *belljar.Credential) string {
	if len(c.Programs) == 0 || c.Withheld || ablate.Off(ablate.Programs) {
		return ""
	}
	if j.r.Opened == nil {
		return "which program sends this is not known here"
	}
	if j.opened == nil {
		j.opened = &opened{}
		j.opened.Opened, j.opened.err = j.r.Opened(ctx)
		j.Program = j.opened.Program
	}
	o := j.opened
	switch {
	case o.err != nil:
		return "which program opened this connection could not be told"
	case o.Refused != "":
		return terminal.Escape(o.Program) + " opened this connection: " + terminal.Escape(o.Refused)
	case !slices.Contains(c.Programs, o.Program):
		return terminal.Escape(o.Program) + " opened this connection"
	}
	return ""
}

// strange refuses a stand-in that comes from a program which its credential is not for: an
// attempt to use what another program has.
func (j *judge) strange(c *belljar.Credential, why string) {
	j.Leaks = append(j.Leaks, Leak{Credential: c.Name, Where: inHeader(c.Header), Refused: true})
	j.refuse("have "+strings.Join(c.Programs, " or ")+" do it, started by itself", "%s is for %s only, and %s", c.Name, strings.Join(c.Programs, ", "), why)
	j.Status = http.StatusForbidden
}
