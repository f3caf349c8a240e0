package view

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLive(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/a.txt", "hello")
		write(t, h+"/.env", "SECRET=1")
		write(t, h+"/sub/b.txt", "sub")
		write(t, h+"/.vscode/settings.json", "{}")
	}})
	if got := read(t, w.in+"/a.txt"); got != "hello" {
		t.Fatalf("a.txt is %q", got)
	}
	absent(t, w.in+"/.env")
	w.sh(`echo new > new.txt; mkdir d; echo x > d/x; mv d e; ln -s a.txt l; echo more >> a.txt; rm sub/b.txt; rmdir sub`)
	if got := read(t, w.host+"/a.txt"); got != "hellomore\n" {
		t.Errorf("a.txt on the host is %q", got)
	}
	if got := read(t, w.host+"/e/x"); got != "x\n" {
		t.Errorf("e/x on the host is %q", got)
	}
	absent(t, w.host+"/sub")
	w.sh(`echo '{"a":1}' > .vscode/settings.json; cat .vscode/settings.json; echo agent > .env; cat .env`)
	if got := read(t, w.host+"/.vscode/settings.json"); got != "{}" {
		t.Errorf("settings on the host are %q", got)
	}
	if got := read(t, w.host+"/.env"); got != "SECRET=1" {
		t.Errorf(".env on the host is %q", got)
	}
	if got := read(t, w.in+"/.env"); got != "agent\n" {
		t.Errorf(".env inside is %q", got)
	}
	w.server.Close()
	s := w.server.Summary()
	if s.Passed < 5 || s.Held < 2 {
		t.Errorf("summary %+v", s)
	}
	ents, _ := os.ReadDir(filepath.Join(w.host))
	for _, e := range ents {
		t.Log(e.Name())
	}
}
