package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/belljar-dev/belljar/event"
)

// CompareRecord says in what the record in file is not the one of s. A record that has grown
// since is no other one.
func CompareRecord(s *Statement, file string) error {
	want := &s.Predicate.Record
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyN(sum, f, want.Bytes)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the record has %d bytes, and had %d", n, want.Bytes)
	case err != nil:
		return err
	case hex.EncodeToString(sum.Sum(nil)) != want.SHA256:
		return errors.New("it is another record, or the record was changed")
	}
	if len(want.Faults) > 0 {
		return nil // its chain was broken then, and is as it was
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	head, events, err := event.CheckChain(io.LimitReader(f, want.Bytes), want.ID)
	switch {
	case err != nil:
		return fmt.Errorf("its chain does not hold: %w", err)
	case head != want.Head || events != want.Events:
		return errors.New("it ends otherwise than is stated")
	}
	return nil
}

// CountWaits is how many changes p says that wait.
func CountWaits(p *Predicate) (int, error) {
	var all []json.RawMessage
	err := json.Unmarshal(p.Waits, &all)
	return len(all), err
}
