package gitindex

import (
	"strings"
	"testing"
)

func TestCheckHead(t *testing.T) {
	sha1, sha256 := strings.Repeat("0a", 20), strings.Repeat("0a", 32)
	for _, good := range []string{"ref: refs/heads/main\n", "ref: refs/heads/a/b-c.d@e\n", "ref: refs/heads/ü\n", "ref: refs/heads/.invalid\n", sha1 + "\n"} {
		if err := CheckHead(strings.NewReader(good), SHA1); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := CheckHead(strings.NewReader(sha256+"\n"), SHA256); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "\n", "garbage\n", "ref: refs/heads/main", "ref: refs/heads/main\n\n", "ref:refs/heads/main\n", "ref: heads/main\n",
		"ref: refs/\n", "ref: refs/heads/../../../x\n", "ref: refs/heads//x\n", "ref: refs/heads/x/\n", "ref: refs/heads/.x\n",
		"ref: refs/heads/x.lock\n", "ref: refs/heads/x.LOCK/y\n", "ref: refs/heads/a b\n", "ref: refs/heads/a\x01\n", "ref: refs/heads/a\x7f\n",
		"ref: refs/heads/@{x\n", "ref: refs/heads/x.\n", "ref: refs/heads/x\\y\n", "ref: refs/heads/x\nref: refs/heads/y\n",
		sha1, sha1[1:] + "\n", strings.Repeat("g", 40) + "\n", sha256 + "\n", "ref: refs/heads/" + strings.Repeat("x", maxHead) + "\n",
	} {
		if CheckHead(strings.NewReader(bad), SHA1) == nil {
			t.Errorf("%.60q passes", bad)
		}
	}
}
