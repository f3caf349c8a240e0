package gateway

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestGitRawPushes: commands that no git writes, before a real git http-backend: what is
// refused changes no reference, however its bytes are cut and compressed.
func TestGitRawPushes(t *testing.T) {
	w := newGitWorld(t, false, widgetNetwork())
	old, zero := w.at("main"), strings.Repeat("0", 40)
	pkt := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	caps := "\x00report-status object-format=sha1"
	pack := "PACK\x00\x00\x00\x02\x00\x00\x00\x00\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"
	create := func(ref string) string { return zero + " " + old + " " + ref }
	evil := pkt(create("refs/heads/evil")+caps) + "0000" + pack
	good := pkt(create("refs/heads/agent/a") + caps)
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	send := func(body string, fields ...string) string {
		return w.say("git.example.com", "POST /acme/widget.git/git-receive-pack HTTP/1.1\r\nHost: git.example.com\r\nContent-Type: application/x-git-receive-pack-request\r\nConnection: close\r\n"+
			strings.Join(append(fields, ""), "\r\n")+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	}
	before := w.git("", "--git-dir", w.root+"/acme/widget.git", "show-ref")
	long := strings.Repeat("a", 300)
	for name, body := range map[string]string{
		"an empty line first":           "0004" + evil,
		"a line of nothing between":     good + "0004" + pkt(create("refs/heads/evil")) + "0000" + pack,
		"a delimiter":                   good + "0001" + pkt(create("refs/heads/evil")) + "0000" + pack,
		"an end of the response":        good + "0002" + pkt(create("refs/heads/evil")) + "0000" + pack,
		"a length with a sign":          strings.Replace(evil, evil[:4], "+"+evil[1:4], 1),
		"a length with a blank":         strings.Replace(evil, evil[:4], " "+evil[1:4], 1),
		"a length with a prefix":        strings.Replace(evil, evil[:4], "0x"+evil[2:4], 1),
		"a second list":                 good + "0000" + evil,
		"a tab":                         pkt(zero+"\t"+old+" refs/heads/agent/a"+caps) + "0000" + pack,
		"a NUL in the name":             pkt(create("refs/heads/agent/a\x00refs/heads/evil")+caps) + "0000" + pack,
		"a line end in the name":        pkt(create("refs/heads/agent/a\n"+create("refs/heads/evil"))+caps) + "0000" + pack,
		"dots":                          pkt(create("refs/heads/agent/../evil")+caps) + "0000" + pack,
		"encoded dots":                  pkt(create("refs/heads/agent/../../heads/evil")+caps) + "0000" + pack,
		"two slashes":                   pkt(create("refs/heads//evil")+caps) + "0000" + pack,
		"a slash last":                  pkt(create("refs/heads/agent/")+caps) + "0000" + pack,
		"a pattern":                     pkt(create("refs/heads/agent/*")+caps) + "0000" + pack,
		"an at sign and a brace":        pkt(create("refs/heads/agent/@{0}")+caps) + "0000" + pack,
		"a remote's reference":          pkt(create("refs/remotes/origin/agent/a")+caps) + "0000" + pack,
		"notes":                         pkt(create("refs/notes/agent/a")+caps) + "0000" + pack,
		"a replacement":                 pkt(create("refs/replace/"+old)+caps) + "0000" + pack,
		"a hidden reference":            pkt(create("refs/pull/1/head")+caps) + "0000" + pack,
		"HEAD":                          pkt(create("HEAD")+caps) + "0000" + pack,
		"a letter that looks like it":   pkt(create("refs/heads/\u0430gent/a")+caps) + "0000" + pack,
		"a long name":                   pkt(create("refs/heads/agent/"+long+"/"+long)+caps) + "0000" + pack,
		"deletion":                      pkt(old+" "+zero+" refs/heads/agent/old"+caps) + "0000",
		"deletion among others":         good + pkt(old+" "+zero+" refs/heads/agent/old") + "0000" + pack,
		"to another object, no pack":    pkt(old+" "+strings.Repeat("1", 40)+" refs/heads/agent/old"+caps) + "0000" + pack,
		"nothing to nothing":            pkt(zero+" "+zero+" refs/heads/agent/a"+caps) + "0000",
		"ids of sha256":                 pkt(zero+zero[:24]+" "+old+old[:24]+" refs/heads/agent/a\x00report-status object-format=sha256") + "0000" + pack,
		"another format":                pkt(create("refs/heads/agent/a")+"\x00report-status object-format=sha256") + "0000" + pack,
		"atomic with one that may not":  pkt(create("refs/heads/agent/a")+"\x00report-status atomic") + pkt(create("refs/heads/evil")) + "0000" + pack,
		"options":                       pkt(create("refs/heads/agent/a")+"\x00report-status push-options") + "0000" + pkt("ci.skip") + "0000" + pack,
		"a certificate":                 pkt("push-cert\x00report-status") + pkt("certificate version 0.1\n") + pkt("\n") + pkt(create("refs/heads/evil")+"\n") + pkt("push-cert-end\n") + "0000" + pack,
		"the same reference twice":      good + pkt(create("refs/heads/agent/a")) + "0000" + pack,
		"a shallow that is none":        pkt("shallow "+old+" x") + evil,
		"capabilities in the next line": good + pkt(create("refs/heads/agent/b")+"\x00push-options") + "0000" + pack,
	} {
		for form, answer := range map[string]func() string{
			"plain":       func() string { return send(body) },
			"gzip":        func() string { return send(zip(body), "Content-Encoding: gzip") },
			"two members": func() string { return send(zip(body[:7])+zip(body[7:]), "Content-Encoding: gzip") },
		} {
			got := answer()
			if now := w.git("", "--git-dir", w.root+"/acme/widget.git", "show-ref"); now != before {
				t.Fatalf("%s, %s: it was done: %s\n%.300q", name, form, now, got)
			}
			server := name == "ids of sha256" || name == "a second list" // which it refuses: names that may be made
			if !strings.Contains(got, "belljar") && !server {
				t.Errorf("%s, %s: nobody says why: %.300q", name, form, got)
			}
		}
	}
	// A list behind a pack is read by nobody.
	if got := send(good + "0000" + pack + evil); !strings.Contains(got, "ok refs/heads/agent/a") || w.at("refs/heads/evil") != "" {
		t.Errorf("a good one: %q", got)
	}
}
