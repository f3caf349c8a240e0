package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event/internal/sign"
	"golang.org/x/sys/unix"
)

// No memory of a process that made a record apart has the key; of another one it has, so
// that the search is known to find it.
func TestKeyIsNotInMemory(t *testing.T) {
	state := t.TempDir()
	key, err := OpenKey(state)
	if err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string]bool{"apart " + state: false, state: true} {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), holderEnv+"="+how)
		c.Stderr = os.Stderr
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(5*time.Minute, func() { _ = c.Process.Kill() })
		if _, err := io.ReadFull(out, make([]byte, len("made\n"))); err != nil {
			t.Fatal(err)
		}
		seed := key.own.Seed()
		expanded := sha512.Sum512(seed)
		found, looked := "", 0
		for name, secret := range map[string][]byte{"seed": seed, "expanded": expanded[32:], "text": []byte(base64.StdEncoding.EncodeToString(seed))} {
			n, has := searchMemory(t, c.Process.Pid, secret)
			if looked += n; has {
				found += name + " "
			}
		}
		if (found != "") != want || looked < 1<<20 {
			t.Errorf("apart %v: found %q in %d bytes", !want, found, looked)
		}
		if kids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.Process.Pid)); len(bytes.TrimSpace(kids)) > 0 {
			t.Errorf("processes are left: %s", kids)
		}
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
		timer.Stop()
	}
	for _, id := range []string{"held-true", "held-false"} {
		if rep, err := Verify(state, id); err != nil || !rep.OK() || rep.Signer != Fingerprint(key.Public()) {
			t.Errorf("%s: %+v, %v", id, rep, err)
		}
	}
}

// searchMemory says how much of the memory of a child was read, and whether what is in it.
func searchMemory(t *testing.T, pid int, what []byte) (looked int, found bool) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || strings.Contains(line, "[v") || to-from > 256<<20 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from) // what is not there cannot be read
		looked += n
		found = found || bytes.Contains(b[:n], what)
	}
	return looked, found
}

// The process signs anchors and nothing else, and says why it cannot.
func TestSigner(t *testing.T) {
	state := t.TempDir()
	s, done, err := startSigner(state)
	if err != nil {
		t.Fatal(err)
	}
	message := signed(3, genesis("anchors", ""), []byte("x"))
	sig, err := s.signHead(message)
	key, err2 := readKey(state)
	if err != nil || err2 != nil || s.text() != key.text() || !ed25519.Verify(key.Public(), message, sig) {
		t.Errorf("%x, %v, %v", sig, err, err2)
	}
	if _, err := s.signHead([]byte("belljar evidence")); err == nil {
		t.Error("it signs anything")
	}
	if _, err := s.signHead(make([]byte, sign.MaxMessage+1)); err == nil {
		t.Error("too long a message")
	}
	pid := s.(*signer).pid
	done()
	if err := unix.Kill(pid, 0); err == nil {
		t.Error("it is still there")
	}
	if err := os.Chmod(state+"/"+sign.File, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := startSigner(state); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("a key for everybody: %v", err)
	}
}

func BenchmarkCreateApart(b *testing.B) {
	state, n := b.TempDir(), 0
	for b.Loop() {
		n++
		r, err := Create(CreateOptions{State: state, Apart: true, Start: belljar.StartEvent{ID: fmt.Sprintf("b%d", n)}})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = r.Close(belljar.EndEvent{})
		b.StartTimer()
	}
}
