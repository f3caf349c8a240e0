package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Mark is where the anchors of a state folder ended once: so many lines were before that
// one, whose hash is Head.
type Mark struct {
	Seq  uint64 `json:"seq"`
	Head string `json:"head"`
}

// A Witness remembers, outside the state folder, where its anchors ended: that their end, or all
// of them, were cut off shows by it. It only ever goes forward.
type Witness interface {
	// Keep is told of each new line. What it cannot keep is no error: an older mark is
	// as true.
	Keep(m Mark)
	// Last is the mark that it remembers; false when it has none.
	Last() (Mark, bool)
}

// witnessFile is in the runtime folder.
const witnessFile = "heads"

// WitnessFile is the witness in a runtime folder, which lasts until the machine is started anew.
func WitnessFile(runtime string) Witness { return witness{WitnessPath(runtime), bootID()} }

// WitnessPath is where [WitnessFile] keeps it, for who has to be allowed to write there.
func WitnessPath(runtime string) string { return filepath.Join(runtime, witnessFile) }

type witness struct{ path, boot string }

// witnessed is what the file holds, padded with spaces to one length so that it is
// replaced by one write.
type witnessed struct {
	Mark
	Boot string `json:"boot"`
}

const witnessSize = 256

func (w witness) Keep(m Mark) {
	b, err := json.Marshal(witnessed{m, w.boot})
	if err != nil || len(b) >= witnessSize {
		return
	}
	if last, ok := w.Last(); ok && last.Seq >= m.Seq { // what was cut off stays known
		return
	}
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%-*s\n", witnessSize-1, b)
}

func (w witness) Last() (Mark, bool) {
	b, err := readSmall(w.path, 2*witnessSize)
	if err != nil {
		return Mark{}, false
	}
	m, ok := parseWitness(b)
	// What reached the disk before a power failure need not have reached it in the state.
	if !ok || m.Boot != w.boot {
		return Mark{}, false
	}
	return m.Mark, true
}

func parseWitness(b []byte) (witnessed, bool) {
	var m witnessed
	if err := json.Unmarshal(b, &m); err != nil || len(m.Head) != hashSize {
		return m, false
	}
	return m, true
}

// readSmall reads a file of at most so many bytes.
func readSmall(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, most+1)
	n, err := f.ReadAt(b, 0)
	if n > most {
		return nil, errors.New("it is too long")
	}
	if n == 0 {
		return nil, err
	}
	return b[:n], nil
}

// bootID names this start of the machine; empty where the kernel does not tell.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it only one start is known
	return strings.TrimSpace(string(b))
}
