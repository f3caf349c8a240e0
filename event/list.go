package event

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// Status says what has become of a record.
type Status string

// The states of a record.
const (
	Running Status = "running" // its process is alive
	Ended   Status = "ended"   // closed by an end event
	Killed  Status = "killed"  // its process was gone before it could say so
	Damaged Status = "damaged" // its first or last line cannot be read
	Missing Status = "missing" // the anchors know it, but it is not there
)

// Info is what a listing shows of a record.
type Info struct {
	ID     string              `json:"id"`
	Name   string              `json:"name"`
	Path   string              `json:"path"`
	Status Status              `json:"status"`
	Time   time.Time           `json:"time"`            // of the start
	Taken  time.Time           `json:"taken,omitzero"`  // when a sandbox that had waited was taken
	Last   time.Time           `json:"last,omitzero"`   // of the last line, where that can be read
	EndAt  time.Time           `json:"end_at,omitzero"` // of the end
	Start  *belljar.StartEvent `json:"start,omitempty"` // nil when damaged
	End    *belljar.EndEvent   `json:"end,omitempty"`   // nil without an end event
	Bytes  int64               `json:"bytes"`           // size of its files
	Fault  string              `json:"fault,omitempty"` // why it is damaged

	// Untaken says that the sandbox waited to be taken, or still waits: nothing ran in it.
	Untaken bool `json:"untaken,omitempty"`
}

// List lists the records of a state folder, oldest first. It reads the first and
// the last line of each; damaged ones are listed as such.
func List(state string) ([]Info, error) {
	ids, err := recordIDs(state)
	if err != nil {
		return nil, &belljar.Error{Op: "list records", Err: err}
	}
	var infos []Info
	for _, id := range ids {
		if i := inspect(state, id); i.Status != Missing {
			infos = append(infos, i)
		}
	}
	slices.SortStableFunc(infos, func(a, b Info) int { return a.Time.Compare(b.Time) })
	return infos, nil
}

// recordIDs returns the ids of all records, sorted; as ids begin with the time,
// oldest first.
func recordIDs(state string) ([]string, error) {
	dir, err := os.ReadDir(filepath.Join(state, recordsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range dir {
		if d.IsDir() && validID(d.Name()) {
			ids = append(ids, d.Name())
		}
	}
	return ids, nil
}

// removed says whether the record in file is gone as a whole, as [Remove] leaves nothing of it.
func removed(file string) bool {
	_, err := os.Lstat(filepath.Dir(file))
	return filepath.Base(file) == eventsFile && errors.Is(err, os.ErrNotExist)
}

// orRemoved is err, which reading the record in file failed with, or that it is gone.
func orRemoved(file string, err error) error {
	if removed(file) {
		return errors.New("it was removed meanwhile")
	}
	return err
}

// inspect reads the ends of one record. One that is removed meanwhile is missing, not damaged.
func inspect(state, id string) Info {
	i := readEnds(state, id)
	if i.Status == Damaged && removed(i.Path) {
		i.Status, i.Fault = Missing, "it was removed"
	}
	return i
}

func readEnds(state, id string) Info {
	i := Info{ID: id, Path: recordPath(state, id), Status: Damaged}
	f, err := openPlain(i.Path)
	if err != nil {
		i.Fault = err.Error()
		return i
	}
	defer f.Close()
	alive := running(f) // asked first: what is read afterwards is then complete
	if i.Bytes, i.Time, _, err = extent(i.Path); err != nil {
		i.Fault = err.Error()
		return i
	}
	first, err := firstEntry(f)
	if err != nil || first.Start == nil {
		i.Fault = fmt.Sprintf("its first line is no start event: %v", err)
		return i
	}
	i.Start, i.Time, i.Name = first.Start, first.Time, first.Start.Name
	if first.Start.Warm {
		i.findTake()
	}
	line, err := endOf(i.Path)
	if err != nil {
		i.Fault = err.Error()
		return i
	}
	last, err := parseEntry(line)
	i.Last = last.Time
	switch {
	case alive:
		i.Status = Running
	case err != nil:
		i.Fault = "last line: " + err.Error()
		return i
	case last.End != nil:
		i.Status, i.End, i.EndAt = Ended, last.End, last.Time
	default:
		i.Status = Killed
	}
	return i
}

// findTake says whether the sandbox was taken, and for what. That is soon told of one that
// was; the record of one that was not is short.
func (i *Info) findTake() {
	i.Untaken = true
	for e, err := range Read(i.Path, Filter{Kinds: []belljar.EventKind{belljar.EventTake}}) {
		i.Untaken = false // a line that cannot be read may be this one
		if err == nil && e.Take != nil {
			i.Taken, i.Start.Argv = e.Time, e.Take.Argv
		}
		return
	}
}

// used is when somebody began to use the sandbox.
func (i *Info) used() time.Time {
	if i.Taken.IsZero() {
		return i.Time
	}
	return i.Taken
}

func firstEntry(f *os.File) (Entry, error) {
	if _, err := f.Seek(0, 0); err != nil {
		return Entry{}, err
	}
	r := reader{in: bufio.NewReaderSize(f, 4<<10)}
	line, ok := r.nextLine()
	if !ok || r.long {
		return Entry{}, errForm
	}
	return parseEntry(line)
}

// Find returns the record that a user means: by id, by the name of its sandbox
// (the newest one of that name), or by the beginning of an id that fits one
// record only. An empty name means the newest record.
func Find(state, name string) (Info, error) {
	fail := func(err error, hint string) (Info, error) {
		return Info{}, &belljar.Error{Op: "find record", ID: name, Kind: belljar.KindNoSuch, Err: err, Hint: hint}
	}
	ids, err := recordIDs(state)
	if err != nil {
		return fail(err, "")
	}
	if len(ids) == 0 {
		return fail(errors.New("nothing is on record yet"), "start something with belljar run -- COMMAND")
	}
	if name == "" {
		return newest(state, ids, func(i Info) bool { return !i.Untaken })
	}
	if _, ok := slices.BinarySearch(ids, name); ok {
		if i := inspect(state, name); i.Status != Missing {
			return i, nil
		}
		return fail(errors.New("it was removed meanwhile"), "")
	}
	if i, err := newest(state, ids, func(i Info) bool { return i.Name == name }); err == nil {
		return i, nil
	}
	var fit []string
	for _, id := range ids {
		if strings.HasPrefix(id, name) {
			fit = append(fit, id)
		}
	}
	switch len(fit) {
	case 0:
		return fail(errors.New("no sandbox of that name is on record"), "belljar log --list shows what is")
	case 1:
		return Find(state, fit[0])
	}
	return fail(fmt.Errorf("%d records begin like that, %s and %s among them", len(fit), fit[0], fit[1]), "write more of the id")
}

// FindIn returns the record that a user in the folder dir means without a name: the
// newest of the project that dir belongs to, or else the newest of all. A damaged
// record may be of any project and is not passed over; one of a sandbox in which nothing
// ran is.
func FindIn(state, dir string) (Info, error) {
	ids, err := recordIDs(state)
	if err == nil {
		here := func(i Info) bool { return i.Start == nil || within(dir, i.Start.Workspace) && !i.Untaken }
		if i, err := newest(state, ids, here); err == nil {
			return i, nil
		}
	}
	return Find(state, "")
}

// within says whether dir is top or below it.
func within(dir, top string) bool {
	rel, err := filepath.Rel(top, dir)
	return err == nil && filepath.IsLocal(rel)
}

// newest returns the record whose sandbox was used last among those that fit. Ids tell
// seconds apart; within one the first lines do. What began earlier may have been taken later:
// then it was written since.
func newest(state string, ids []string, fits func(Info) bool) (Info, error) {
	var best Info
	for _, id := range slices.Backward(ids) {
		earlier := best.ID != "" && second(id) != second(best.ID)
		if earlier && !writtenSince(recordPath(state, id), best.used()) {
			continue
		}
		i := inspect(state, id)
		if i.Status != Missing && fits(i) && (best.ID == "" || i.used().After(best.used()) && (!earlier || !i.Taken.IsZero())) {
			best = i
		}
	}
	if best.ID == "" {
		return Info{}, errors.New("none")
	}
	return best, nil
}

// writtenSince says whether the first file of a record was written to at t or later.
func writtenSince(path string, t time.Time) bool {
	fi, err := os.Lstat(path)
	return err == nil && !fi.ModTime().Before(t)
}

// second is the part of an id that is a time.
func second(id string) string { return id[:min(len(id), len("20060102-150405"))] }
