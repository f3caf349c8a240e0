package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// CreateOptions say what record to make.
type CreateOptions struct {
	State string             // the user's state folder; made when it is missing
	Start belljar.StartEvent // ID is needed; Previous is filled in
	Plan  *belljar.Plan      // recorded second, when not nil
	// MaxBytes bounds the record; 0 means DefaultMaxBytes. A little more than that may
	// be used to say how it ended.
	MaxBytes int64
	// SegmentBytes is after how many bytes the record goes on in its next file; 0 means an eighth of
	// MaxBytes, but at least 1 MiB and at most 64 MiB.
	SegmentBytes int64
	// Secrets are never written; what looks like one is not either, see [Redact].
	Secrets []Secret
	// Apart says that the user's key is read by a process of its own, which is gone when
	// [Create] returns: this one never has it in memory. The program has to call [Reexec] first
	// of all in main. Else the key stays in the memory of this process.
	Apart bool
	// Witnesses are told where the anchors end.
	Witnesses []Witness
}

// Create makes the record of a new sandbox, writes its start event and its plan
// and anchors it. Records of earlier runs whose processes were killed are anchored
// too. On error nothing is left behind.
func Create(o CreateOptions) (*Record, error) {
	r, err := create(o)
	if err != nil {
		return nil, &belljar.Error{Op: "create record", ID: o.Start.ID, Err: err,
			Hint: "see that " + o.State + " exists, belongs to you and has room"}
	}
	return r, nil
}

func create(o CreateOptions) (*Record, error) {
	if !validID(o.Start.ID) {
		return nil, fmt.Errorf("impossible id %q", o.Start.ID)
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = segmentBytes(o.MaxBytes)
	}
	for _, d := range []string{o.State, filepath.Join(o.State, recordsDir), filepath.Join(o.State, openDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	key, done, err := o.signer()
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := openAnchors(o.State, key, o.Witnesses)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if err := a.settle(); err != nil {
		return nil, err
	}
	r := &Record{
		id: o.Start.ID, path: recordPath(o.State, o.Start.ID), state: o.State, max: o.MaxBytes, most: o.SegmentBytes,
		head:    genesis("record", o.Start.ID),
		turn:    make(chan struct{}, 1),
		full:    make(chan struct{}),
		queue:   newQueue(o.MaxBytes / 2),
		wake:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
		seen:    o.Witnesses,
		hide:    newRedactor(o.Secrets),
	}
	if r.key, err = newKey(); err != nil {
		return nil, err
	}
	o.Start.Key = key.text()
	if err := r.start(o, a); err != nil {
		return nil, err
	}
	go r.flush()
	return r, nil
}

// signer is the user's key; done is called when it has signed.
func (o *CreateOptions) signer() (key headSigner, done func(), err error) {
	if o.Apart {
		return startSigner(o.State)
	}
	k, err := OpenKey(o.State)
	if err != nil {
		return nil, nil, err
	}
	return k, k.Wipe, nil
}

// start makes the file with its first lines, under a name that no reader sees,
// locks it, moves it into place and anchors it.
func (r *Record) start(o CreateOptions, a *anchors) (err error) {
	dir, tmp := filepath.Dir(r.path), newDir(o.State, r.id)
	mark := filepath.Join(o.State, openDir, r.id)
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("there is a record of this id already: %w", os.ErrExist)
		}
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
			_ = os.Remove(mark)
			_, _, _ = r.file.Close(), r.heads.Close(), r.lock.Close() // of nil too
		}
	}()
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tmp, nextDir), 0o700); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL | os.O_APPEND | unix.O_NOFOLLOW
	if r.file, err = os.OpenFile(filepath.Join(tmp, eventsFile), flags, 0o600); err != nil {
		return err
	}
	if r.lock, err = os.OpenFile(filepath.Join(tmp, eventsFile), os.O_RDONLY|unix.O_NOFOLLOW, 0); err != nil {
		return err
	}
	if err := flock(r.lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock record: %w", err)
	}
	if r.heads, err = openHead(tmp); err != nil {
		return err
	}
	if err := r.writeStart(o, a.closed); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	begin := anchor{What: anchorStarted, ID: r.id, Name: cleanString(o.Start.Name), At: r.seq - 1, Head: r.head, Size: r.size, RunKey: r.key.text()}
	if err := a.add(begin); err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	return nil
}

func (r *Record) writeStart(o CreateOptions, previous string) error {
	now := time.Now()
	o.Start.Previous = previous
	body, err := r.hide.encode(belljar.Event{Kind: belljar.EventStart, Time: now, Start: &o.Start})
	if err != nil {
		return err
	}
	w := r.begin()
	w.add(body)
	if o.Plan != nil {
		body, err := r.hide.encode(belljar.Event{Kind: belljar.EventPlan, Time: now, Plan: o.Plan})
		if err != nil {
			return err
		}
		w.add(body)
	}
	return w.write()
}

// Remove deletes the record of a sandbox that is not running and says so in the
// anchors, so that its absence is no fault.
func Remove(state, id string, seen ...Witness) error {
	op := func(err error, k belljar.Kind) error {
		return &belljar.Error{Op: "remove record", ID: id, Kind: k, Err: err}
	}
	if !validID(id) {
		return op(errors.New("impossible id"), belljar.KindUsage)
	}
	key, err := OpenKey(state)
	if err != nil {
		return op(err, belljar.KindInternal)
	}
	defer key.Wipe()
	a, err := openAnchors(state, key, seen)
	if err != nil {
		return op(err, belljar.KindInternal)
	}
	defer a.close()
	f, err := openPlain(recordPath(state, id))
	if errors.Is(err, os.ErrNotExist) {
		return op(err, belljar.KindNoSuch)
	}
	if err != nil {
		return op(err, belljar.KindInternal)
	}
	defer f.Close()
	if running(f) {
		return op(errors.New("its sandbox is running"), belljar.KindConflict)
	}
	last, err := tailAnchor(state, id)
	if err != nil {
		return op(err, belljar.KindInternal)
	}
	last.What = anchorRemoved
	if err := a.add(last); err != nil {
		return op(err, belljar.KindInternal)
	}
	// Whole or gone, whatever ends us; what one left that was ended goes with the next.
	if err := os.Rename(filepath.Dir(recordPath(state, id)), goneDir(state, id)); err != nil {
		return op(err, belljar.KindInternal)
	}
	left, err := filepath.Glob(goneDir(state, "*"))
	if err != nil {
		return op(err, belljar.KindInternal)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return op(err, belljar.KindInternal)
		}
	}
	_ = os.Remove(filepath.Join(state, openDir, id))
	return nil
}
