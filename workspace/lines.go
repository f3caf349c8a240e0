package workspace

import textlines "github.com/belljar-dev/belljar/workspace/internal/lines"

// edit is one line of a comparison.
type edit = textlines.Edit

// maxEdits bounds the work of a comparison: texts that differ in more lines are
// shown as replaced.
const maxEdits = 2000

func compareLines(a, b []string) []edit { return textlines.Compare(a, b, maxEdits) }
