package notify

import "github.com/belljar-dev/belljar/internal/inherited"

// closeRest closes what whoever started the run left open: the notifier outlives it, and is
// not to hold a lock or a pipe of theirs.
func closeRest() error { return inherited.Close(2) }
