package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/workspace"
)

// However many changes wait, and whatever they are called, the list is bounded, and says so.
func TestWaitsAreBounded(t *testing.T) {
	many := func(n int, name string) []workspace.Change {
		list := make([]workspace.Change, n)
		for i := range list {
			list[i] = workspace.Change{Source: "/p", Path: name, Target: name}
		}
		return list
	}
	for _, tt := range []struct {
		changes []workspace.Change
		note    string
	}{
		{nil, ""},
		{many(10, "a"), ""},
		{many(maxWaiting+1, "a"), fmt.Sprintf("%d changes wait; the first %d are named", maxWaiting+1, maxWaiting)},
		{many(1, strings.Repeat("ä", maxWaitName)), "2 long names are cut, which end with an ellipsis"},
		{many(maxWaiting, strings.Repeat("\x01", 4<<10)), "5000 changes wait; the first "},
	} {
		b, note := waitsJSON(tt.changes)
		var list []workspace.Change
		if err := json.Unmarshal(b, &list); err != nil || list == nil || len(b) > maxWaitText+1 || len(tt.changes) > 0 && len(list) == 0 {
			t.Errorf("%d changes in %d bytes: %v", len(list), len(b), err)
		}
		if !strings.HasPrefix(note, tt.note) || (tt.note == "") != (note == "") {
			t.Errorf("%q, want %q", note, tt.note)
		}
	}
}
