package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/evidence"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/spf13/cobra"
)

// What is from inside cannot make an evidence file larger than this.
const (
	maxWaiting  = 5000
	maxWaitText = 3 << 20 // bytes of them all, as JSON
	maxWaitName = 1 << 10 // bytes of one name; the diff has it whole
	maxDiffText = 1 << 20
)

func (a *App) evidenceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "evidence [NAME]",
		Short:   "print one signed file that shows others what a sandbox did",
		GroupID: "review",
		Long: `Prints evidence about the sandbox NAME, or the newest one of this project: which record,
checked how, made with which program, policy and plan, who allowed what, what waits, what belljar
verify found on this host. It is one DSSE envelope with an in-toto statement, signed with the key that
signs this user's records, and holds no file's content but the text of what waits. Exits 1, and
prints it all the same, when the record has been changed.
`,
		Example:           "  belljar evidence mine >mine.json\n  belljar evidence verify mine.json --key SHA256:…",
		Args:              exactly(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE:              func(c *cobra.Command, args []string) error { return a.evidence(c.Context(), args) },
	}
	c.AddCommand(a.evidenceVerifyCommand())
	return c
}

func (a *App) evidence(ctx context.Context, args []string) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	info, err := a.find(h, first(args))
	if err != nil {
		return err
	}
	p, err := gatherEvidence(ctx, h, &info)
	if err != nil {
		return err
	}
	if len(p.Record.Faults) > 0 {
		a.status = 1
		a.note("the record has been changed, and the evidence says so: belljar log verify %s", info.ID)
	}
	a.waits(h, &info, p)
	if p.Verified, err = readVerified(h.dirs.State); err != nil {
		p.VerifiedNote = "what was kept cannot be read: " + err.Error()
	} else if len(p.Verified) == 0 {
		p.Verified, p.VerifiedNote = nil, "belljar verify was not run on this host, or its result was not kept"
	}
	key, err := event.OpenKey(h.dirs.State)
	if err != nil {
		return err
	}
	defer key.Wipe()
	b, err := evidence.Sign(key, *p)
	if err != nil {
		return &belljar.Error{Op: "make evidence", ID: info.Name, Err: err}
	}
	a.note("signed with %s: give this fingerprint to whoever is to check it, by another way", event.Fingerprint(key.Public()))
	_, err = a.Out.Write(b)
	return err
}

// gatherEvidence is what the record says.
func gatherEvidence(ctx context.Context, h *host, info *event.Info) (*evidence.Predicate, error) {
	witnesses, done := h.witnesses(ctx)
	defer done()
	rep, err := event.Verify(h.dirs.State, info.ID, witnesses...)
	if err != nil {
		return nil, err
	}
	sum, err := hashFile(info.Path, rep.Bytes)
	if err != nil {
		return nil, &belljar.Error{Op: "read record", ID: info.ID, Err: err}
	}
	p := &evidence.Predicate{
		Made: time.Now().UTC(), Host: thisHost(),
		Record: evidence.Record{
			ID: rep.ID, Name: rep.Name, SHA256: sum, Bytes: rep.Bytes, Head: rep.Head, Events: rep.Events, Status: rep.Status,
			Signer: rep.Signer, Faults: rep.Faults, Notes: rep.Notes,
		},
	}
	p.Tell(info.Path, rep.Events)
	return p, nil
}

// waits adds what waits in the project.
func (a *App) waits(h *host, info *event.Info, p *evidence.Predicate) {
	changes, text, err := a.waiting(h, info)
	if err != nil {
		p.WaitsNote = "it could not be found out: " + err.Error()
		return
	}
	p.Diff, p.DiffCut = text.String(), text.cut
	p.Waits, p.WaitsNote = waitsJSON(changes)
}

// waitsJSON is the beginning of changes as JSON, and what is to be said about it: the names
// are from inside.
func waitsJSON(changes []workspace.Change) (list json.RawMessage, note string) {
	out, n, cut := []byte("["), 0, 0
	for _, c := range changes[:min(len(changes), maxWaiting)] {
		for _, s := range []*string{&c.Source, &c.Path, &c.Target, &c.From, &c.To, &c.Reason, &c.Conflict} {
			if len(*s) > maxWaitName {
				*s, cut = strings.ToValidUTF8((*s)[:maxWaitName], "")+"…", cut+1
			}
		}
		b, err := json.Marshal(c)
		if err != nil {
			return nil, err.Error()
		}
		if len(out)+len(b) > maxWaitText {
			break
		}
		if n++; n > 1 {
			out = append(out, ',')
		}
		out = append(out, b...)
	}
	if n < len(changes) {
		note = fmt.Sprintf("%d changes wait; the first %d are named", len(changes), n)
	}
	if cut > 0 {
		note = strings.TrimPrefix(fmt.Sprintf("%s; %d long names are cut, which end with an ellipsis", note, cut), "; ")
	}
	return append(out, ']'), note
}

func (a *App) waiting(h *host, info *event.Info) ([]workspace.Change, *cutText, error) {
	text := &cutText{left: maxDiffText}
	if info.Start == nil {
		return nil, text, errors.New("the record does not tell of which project it is")
	}
	dir := info.Start.Workspace
	if err := reachable(dir); err != nil {
		return nil, text, err
	}
	project := workspace.Project{Dir: dir, Shadow: filepath.Join(plan.ProjectDir(h.dirs.State, dir), "shadow")}
	if pol, err := a.loadPolicy(h, &planFlags{}, dir, ""); err == nil { // a broken one keeps nobody from looking
		project.Hide, project.Hold = pol.Hide(), pol.Hold()
	}
	changes, err := project.Pending()
	if err == nil && len(changes) > 0 {
		err = project.Diff(text, changes[:min(len(changes), maxWaiting)], workspace.DiffOptions{})
	}
	if text.cut { // breaking off is what we asked for
		err = nil
	}
	return changes, text, err
}

// A cutText keeps the beginning of what is written to it.
type cutText struct {
	bytes.Buffer
	left int
	cut  bool
}

var errCut = errors.New("it is long enough")

// Write implements [io.Writer].
func (c *cutText) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.cut = true
		return 0, errCut
	}
	c.left -= len(p)
	return c.Buffer.Write(p)
}

// hashFile is the SHA-256 of the first n bytes.
func hashFile(path string, n int64) (string, error) {
	f, _, err := event.OpenBytes(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := sha256.New()
	_, err = io.CopyN(s, f, n)
	return hex.EncodeToString(s.Sum(nil)), err
}

func thisHost() evidence.Host {
	name, _ := os.Hostname() // without one it has none
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return evidence.Host{Name: name, System: runtime.GOOS, Arch: runtime.GOARCH, Kernel: string(bytes.TrimSpace(kernel)), UID: os.Getuid()}
}
