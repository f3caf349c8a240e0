package verify

import (
	"regexp"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestRows: every row can be told apart, done and judged; there are enough.
func TestRows(t *testing.T) {
	valid := regexp.MustCompile(`^[a-z0-9]+/[a-z0-9-]+$`)
	seen := map[string]bool{}
	attacks := 0
	for _, r := range allRows() {
		if !valid.MatchString(r.id) || seen[r.id] || strings.Contains(r.id, "-end") {
			t.Errorf("ID %q", r.id)
		}
		seen[r.id] = true
		ways := 0
		for _, b := range []bool{r.script != "", r.sh != "", r.do != nil} {
			if b {
				ways++
			}
		}
		if ways != 1 || r.name == "" || r.own && r.do == nil {
			t.Errorf("%s: %d ways, name %q", r.id, ways, r.name)
		}
		if !r.works && r.layer == "" && r.req == "" {
			t.Errorf("%s: nothing stands in its way", r.id)
		}
		if !r.works {
			attacks++
		}
		if m := rowWord().FindStringSubmatch(word(r.id)); m == nil || m[1]+"/"+m[2] != r.id {
			t.Errorf("%s is not found in traffic as %s", r.id, word(r.id))
		}
	}
	if attacks < 90 {
		t.Errorf("%d attacks, want 90", attacks)
	}
	t.Logf("%d rows, %d attacks", len(seen), attacks)
}

// TestOnly: a word that names nothing is told, with what was probably meant.
func TestOnly(t *testing.T) {
	for word, want := range map[string]string{
		"reads": "", "reads/ssh-key": "", "raeds": "did you mean reads?", "reads/ssh-keys": "did you mean reads/ssh-key?",
		"kernel/nothing-like-it": "kernel/keyctl", "zzzzzz": "groups are: reads, writes",
	} {
		err := checkOnly(allRows(), []string{"works", word})
		if hint := belljar.HintOf(err); (want == "") != (err == nil) || !strings.Contains(hint, want) {
			t.Errorf("%s: %v, hint %q", word, err, hint)
		}
	}
}
