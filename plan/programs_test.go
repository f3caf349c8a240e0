package plan

import "testing"

// Programs that run what they are told to are known by every name that distributions give them.
func TestRunsAnything(t *testing.T) {
	for name, want := range map[string]bool{
		"bash": true, "python3.11": true, "perl5.36-x86_64-linux-gnu": true, "vim.basic": true, "bash-static": true, "python3-dbg": true, "ld-linux-x86-64.so.2": true,
		"curl": false, "gh": false, "git-remote-http": false, "shasum": false, "envsubst": false, "nodeenv": false,
	} {
		if got := runsAnything(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
