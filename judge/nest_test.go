package judge

import (
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// Substitutions within substitutions do not multiply the work.
func TestNesting(t *testing.T) {
	j := corpusJudge(t)
	for _, open := range []string{"$(echo ", "$(cat | echo ", "`echo ", "<(cat ", "{a,$(echo ", "${a:-$(echo ", "$((1+$(echo "} {
		closes := map[byte]string{'`': "`"}[open[0]]
		if closes == "" {
			closes = map[string]string{"{a,$(echo ": ")}", "${a:-$(echo ": ")}", "$((1+$(echo ": ")))"}[open]
		}
		if closes == "" {
			closes = ")"
		}
		for _, n := range []int{5, 20, 40} {
			line := "echo " + strings.Repeat(open, n) + "1" + strings.Repeat(closes, n)
			if took := testenv.Work(t, func() { j.Line(line) }); took > 5*time.Second {
				t.Errorf("%d times %q took %v", n, open, took)
			}
		}
	}
}
