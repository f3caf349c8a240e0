package policy

import (
	"strings"
	"testing"
)

func TestSign(t *testing.T) {
	for _, c := range []struct {
		user, project, ceiling string
		want, fault            string
	}{
		{"git: {sign: ssh}", "", "", SignSSH, ""},
		{"", "", "", SignNone, ""},
		{"git: {sign: gpg}", "", "", "", "write ssh or none"},
		{"git: {sign: true}", "", "", "", "git.sign"},
		{"git: {sign: ssh}", "git: {sign: none}", "", SignNone, ""},
		{"", "git: {sign: ssh}", "", "", "asks for ssh"},
		{"git: {sign: ssh}", "git: {sign: ssh}", "git: {sign: ssh}", SignSSH, ""},
		{"git: {sign: ssh}", "", "git: {sign: none}", "", "the organisation's ceiling"},
		{"", "", "git: {sign: ssh}", SignNone, ""},
	} {
		b := newBench(t).user("version: 1\n" + c.user + "\n")
		if c.project != "" {
			b.project("version: 1\n" + c.project + "\n")
		}
		if c.ceiling != "" {
			b.ceiling("version: 1\n" + c.ceiling + "\n")
		}
		p, err := b.load()
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case p.Signs() != c.want:
			t.Errorf("%+v: %s", c, p.Signs())
		}
	}
}
