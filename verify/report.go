package verify

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/belljar-dev/belljar/terminal"
)

// A Result says what a row found, or what it expects.
type Result string

// The results. Stopped and Works are what rows expect.
const (
	Stopped   Result = "stopped"
	Works     Result = "works"
	Through   Result = "through"    // an attack that should be stopped succeeded
	Broken    Result = "broken"     // what should work does not
	NotJudged Result = "not-judged" // the control, or the attack itself, did not run as it should
)

// An Attack is one row of the report.
type Attack struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Expected Result `json:"expected"`
	Result   Result `json:"result"`
	// Layer is what stopped it, or what should have; empty for rows that should work.
	Layer string `json:"layer"`

	Reason  string `json:"-"` // why it failed or was not judged
	Excused bool   `json:"-"` // the capability table, or this host's kernel, says why it is not judged
}

// Failed says whether the row makes verify fail.
func (a *Attack) Failed() bool { return a.Result != a.Expected && !a.Excused }

// A Report is the outcome of all rows. Passed and Failed leave out the excused.
type Report struct {
	Tier    string   `json:"tier"`
	Attacks []Attack `json:"attacks"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
}

// count fills in the totals.
func (r *Report) count() {
	r.Passed, r.Failed = 0, 0
	for i := range r.Attacks {
		switch a := &r.Attacks[i]; {
		case a.Failed():
			r.Failed++
		case a.Result == a.Expected:
			r.Passed++
		}
	}
}

// WriteJSON writes the report as the design's JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteTable writes the report for people: every row, then why rows failed.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ATTACK\tEXPECTED\tRESULT\tLAYER\tWHAT")
	for i := range r.Attacks {
		a := &r.Attacks[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Expected, a.Result, cmp.Or(a.Layer, "-"), a.Name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	excused := 0
	for i := range r.Attacks {
		a := &r.Attacks[i]
		switch {
		case a.Failed() && a.Result == Through:
			fmt.Fprintf(w, "FAILED %s: came through%s: %s\n", a.ID, should(a.Layer), oneLine(a.Reason))
		case a.Failed():
			fmt.Fprintf(w, "FAILED %s: %s: %s\n", a.ID, a.Result, oneLine(a.Reason))
		case a.Excused:
			excused++
			fmt.Fprintf(w, "not judged %s: %s\n", a.ID, oneLine(a.Reason))
		}
	}
	if r.Tier == otherSandbox {
		fmt.Fprintln(w, "Another sandbox is told nothing of names, limits and what a terminal may be sent: those rows show what it does by itself.")
	}
	_, err := fmt.Fprintf(w, "tier %s: %d rows: %d as expected, %d failed, %d not judged for a stated reason\n",
		r.Tier, len(r.Attacks), r.Passed, r.Failed, excused)
	return err
}

// otherSandbox stands for a tier where --command named what was attacked.
const otherSandbox = "command"

func should(layer string) string {
	if layer == "" {
		return ""
	}
	return "; it should be stopped by: " + layer
}

// oneLine is what came from inside, safe for a terminal and short.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 240 {
		s = string(r[:240]) + "…"
	}
	return terminal.Escape(s)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the report as one JUnit test suite.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "belljar verify " + r.Tier, Tests: len(r.Attacks), Failures: r.Failed}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		group, _, _ := strings.Cut(a.ID, "/")
		c := junitCase{Class: "verify." + group, Name: a.ID + ": " + a.Name}
		switch {
		case a.Failed():
			c.Failure = &junitMessage{fmt.Sprintf("%s (layer: %s): %s", a.Result, a.Layer, a.Reason)}
		case a.Excused:
			s.Skipped++
			c.Skipped = &junitMessage{a.Reason}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
