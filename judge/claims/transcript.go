package claims

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/terminal"
	"golang.org/x/sys/unix"
)

// Bounds of what is read. The sandbox writes these files, as many and as large as its disk
// limit lets it.
const (
	maxFiles     = 10_000
	maxDirs      = 10_000
	maxDepth     = 8
	maxLineBytes = 16 << 20
	maxAllBytes  = 1 << 30
	maxClaims    = 100_000
	maxOutput    = 64 << 10
)

// A Dir is a folder with transcripts of one agent.
type Dir struct {
	Agent string // a name of [Agents]
	Path  string // on the host
}

// A format reads the transcripts of one agent.
type format struct {
	sessions string // below HOME
	file     func(name string) bool
	flat     bool // the files lie in that folder itself, not in folders below it
	// read returns the claims of a file, and how many bytes of it were read: not many more
	// than limit.
	read func(in source, limit int64) ([]*Claim, int64, error)
}

// A source is an open transcript, a regular file, and the folder with what belongs to it.
type source struct {
	root *os.Root
	name string
	file *os.File
}

// A lineReader takes the lines of one file.
type lineReader interface {
	line(b []byte)
	claims() []*Claim
}

var formats = map[string]format{
	"claude": {sessions: ".claude/projects", file: isLines, read: byLine(newClaude)},
	"codex":  {sessions: ".codex/sessions", file: func(n string) bool { return strings.HasPrefix(n, "rollout-") && isLines(n) }, read: byLine(newCodex)},
	"gemini": {sessions: ".gemini/tmp", file: isLines, read: byLine(newGemini)},
	"opencode": {sessions: ".local/share/opencode", flat: true, read: readOpenCode,
		file: func(n string) bool { return strings.HasPrefix(n, "opencode") && strings.HasSuffix(n, ".db") }},
}

func isLines(name string) bool { return strings.HasSuffix(name, ".jsonl") }

// byLine reads files of lines.
func byLine(reader func() lineReader) func(source, int64) ([]*Claim, int64, error) {
	return func(in source, limit int64) ([]*Claim, int64, error) {
		r := reader()
		n, err := eachLine(io.LimitReader(in.file, limit+1), r.line)
		return r.claims(), n, err
	}
}

// Agents are the agents whose transcripts can be read, with the folder below HOME that
// holds them.
func Agents() map[string]string {
	m := map[string]string{}
	for name, f := range formats {
		m[name] = f.sessions
	}
	return m
}

// ErrBounds says that there is more than is ever read or compared: then nothing is judged, as
// what was left out could be what matters.
var ErrBounds = errors.New("the transcripts are larger than is read and compared")

// Read reads the claims between from and to of all transcripts in dirs, in order of time. It
// opens regular files only, follows no link, and stops with [ErrBounds] beyond fixed bounds.
// Lines that are no JSON are skipped. The notes say what was left out.
func Read(dirs []Dir, from, to time.Time) (all []*Claim, files int, notes []string, err error) {
	r := walker{from: from, to: to, seen: map[again]bool{}}
	for _, d := range dirs {
		if err := r.dir(d); err != nil {
			return nil, 0, nil, fmt.Errorf("read transcripts of %s: %w", d.Agent, err)
		}
	}
	slices.SortStableFunc(r.all, func(a, b *Claim) int { return a.Time.Compare(b.Time) })
	if r.elsewhen > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%d command lines of the transcripts are of other times than this run", r.elsewhen))
	}
	return r.all, r.files, r.notes, nil
}

// again is what makes two claims the same one.
type again struct {
	id, line string
	at       int64
}

type walker struct {
	seen map[again]bool

	from, to       time.Time
	all            []*Claim
	files, dirs    int
	bytes          int64
	elsewhen       int
	notes          []string
	unreadableSaid bool
}

func (w *walker) dir(d Dir) error {
	root, err := os.OpenRoot(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return w.folder(root, ".", formats[d.Agent], d.Agent, 0)
}

func (w *walker) folder(root *os.Root, at string, f format, agent string, depth int) error {
	if w.dirs++; w.dirs > maxDirs || depth > maxDepth {
		return ErrBounds
	}
	dir, err := root.Open(at)
	if err != nil {
		return w.unreadable(at, err)
	}
	defer dir.Close()
	for {
		list, err := dir.ReadDir(256)
		for _, e := range list {
			name := path.Join(at, e.Name())
			switch {
			case e.IsDir() && !f.flat:
				if err := w.folder(root, name, f, agent, depth+1); err != nil {
					return err
				}
			case e.Type().IsRegular() && f.file(e.Name()):
				if err := w.file(root, name, f, agent); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return w.unreadable(at, err)
		}
	}
}

// unreadable is said, not an error: the agent owns the modes of its files.
func (w *walker) unreadable(name string, err error) error {
	if !w.unreadableSaid {
		w.notes = append(w.notes, "a transcript cannot be read: "+terminal.Escape(name)+": "+terminal.Escape(err.Error()))
	}
	w.unreadableSaid = true
	return nil
}

func (w *walker) file(root *os.Root, name string, f format, agent string) error {
	if w.files++; w.files > maxFiles {
		return ErrBounds
	}
	in, err := open(root, name)
	if err != nil {
		return w.unreadable(name, err)
	}
	defer in.Close()
	claims, n, err := f.read(source{root, name, in}, maxAllBytes-w.bytes)
	if w.bytes += n; w.bytes > maxAllBytes || errors.Is(err, ErrBounds) {
		return ErrBounds
	}
	if err != nil {
		return w.unreadable(name, err)
	}
	for _, c := range claims {
		if c.Time.Before(w.from) || c.Time.After(w.to) {
			w.elsewhen++
			continue
		}
		c.Agent, c.File = agent, name
		// Sessions that were resumed or forked repeat what came before.
		if k := (again{c.id, c.Line, c.Time.UnixNano()}); c.id != "" {
			if w.seen[k] {
				continue
			}
			w.seen[k] = true
		}
		w.all = append(w.all, c)
	}
	if len(w.all) > maxClaims {
		return ErrBounds
	}
	return nil
}

// open opens a regular file, and follows no link.
func open(root *os.Root, name string) (*os.File, error) {
	in, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := in.Stat(); err != nil || !st.Mode().IsRegular() {
		in.Close()
		return nil, errors.New("no regular file")
	}
	return in, nil
}

// eachLine calls f for every line; those that are too long are skipped.
func eachLine(in io.Reader, f func([]byte)) (int64, error) {
	r := bufio.NewReaderSize(in, 64<<10)
	var n int64
	var line []byte
	long := false
	for {
		frag, err := r.ReadSlice('\n')
		n += int64(len(frag))
		if long = long || len(line)+len(frag) > maxLineBytes; long {
			line = line[:0]
		} else {
			line = append(line, frag...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > 0 && !long {
			f(line)
		}
		line, long = line[:0], false
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
