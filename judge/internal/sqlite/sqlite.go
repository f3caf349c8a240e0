// Package sqlite reads the rows of a table of a SQLite 3 database file and its write-ahead
// log, both of which a sandbox may have written.
//
//	db, err := sqlite.Open(file, size, log, logSize)
//	err = db.Rows("part", func(row []sqlite.Value) error { … })
//
// # Model
//
// Only the file format is read: no SQL, no locks, no index, nothing is written or opened.
// Every page is visited once at most, and all rows together are no longer than the files, so
// that the work is bounded by their size, whatever they hold. It is safe Go: a file can make it
// return an error and nothing else.
//
// # Limitations
//
// Ordinary tables with a rowid, in UTF-8. The rollback journal is not looked at. Files that are
// written meanwhile may be read half: whoever cares compares their times before and after.
package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of one database.
const (
	maxRow   = 16 << 20 // bytes; longer ones are left out
	maxDepth = 32       // of a tree
)

// errForm is what all faults of a file are.
var errForm = errors.New("the database is malformed")

// A DB is an open database.
type DB struct {
	file, log io.ReaderAt
	size      int64
	page      int              // bytes
	usable    int              // of a page
	logged    map[uint32]int64 // where the newest copy of a page lies in the log
	pages     uint32
	left      int64 // bytes of rows that may still be read
}

// Open reads the header of file, and of log, which may be nil, which pages were committed.
func Open(file io.ReaderAt, size int64, log io.ReaderAt, logSize int64) (*DB, error) {
	db := &DB{file: file, log: log, size: size, left: size + logSize}
	if log != nil {
		if err := db.readLog(logSize); err != nil {
			return nil, err
		}
	}
	head := make([]byte, 100)
	if at, ok := db.logged[1]; ok {
		if _, err := log.ReadAt(head, at); err != nil {
			return nil, err
		}
	} else if _, err := file.ReadAt(head, 0); err != nil {
		return nil, errForm
	}
	page := int(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 1 << 16
	}
	if string(head[:16]) != "SQLite format 3\x00" || page < 512 || page&(page-1) != 0 || db.page != 0 && page != db.page {
		return nil, errForm
	}
	if n := binary.BigEndian.Uint32(head[56:]); n > 1 {
		return nil, fmt.Errorf("the database is in encoding %d, not in UTF-8", n)
	}
	if db.page, db.usable = page, page-int(head[20]); db.usable < 480 {
		return nil, errForm
	}
	db.pages = max(db.pages, uint32(min(size/int64(page), 1<<31)))
	return db, nil
}

// read returns page n.
func (db *DB) read(n uint32) ([]byte, error) {
	if n == 0 || n > db.pages {
		return nil, errForm
	}
	b := make([]byte, db.page)
	from, at := db.file, int64(n-1)*int64(db.page)
	if logged, ok := db.logged[n]; ok {
		from, at = db.log, logged
	}
	if _, err := from.ReadAt(b, at); err != nil {
		return nil, errForm
	}
	return b, nil
}

// Rows calls f with each row of the table, in the order of the file. The values are valid
// until f returns. It returns the first error of f, and [ErrNoTable] where there is no table.
func (db *DB) Rows(table string, f func(row []Value) error) error {
	root := uint32(0)
	err := db.tree(1, func(row []Value) error {
		if len(row) >= 4 && string(row[0].Text) == "table" && string(row[1].Text) == table {
			root = uint32(row[3].Int)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case root == 0:
		return ErrNoTable
	}
	return db.tree(root, f)
}

// ErrNoTable says that the database has no table of that name.
var ErrNoTable = errors.New("the database has no such table")

// A walk is one way through a tree of pages.
type walk struct {
	db   *DB
	seen map[uint32]bool
	f    func([]Value) error
}

func (db *DB) tree(root uint32, f func([]Value) error) error {
	w := walk{db: db, seen: map[uint32]bool{}, f: f}
	return w.visit(root, 0)
}

// once reads a page that was not read before.
func (w *walk) once(n uint32) ([]byte, error) {
	if w.seen[n] {
		return nil, errForm
	}
	w.seen[n] = true
	return w.db.read(n)
}

// Kinds of pages of tables.
const (
	interior = 5
	leaf     = 13
)

func (w *walk) visit(n uint32, depth int) error {
	page, err := w.once(n)
	if err != nil {
		return err
	}
	head := page
	if n == 1 {
		head = page[100:]
	}
	cells, kind, start := int(binary.BigEndian.Uint16(head[3:])), head[0], 8
	if kind == interior {
		start = 12
	}
	if kind != leaf && kind != interior || depth > maxDepth || len(head) < start+2*cells {
		return errForm
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(head[start+2*i:]))
		if at+4 > w.db.usable {
			return errForm
		}
		if cell := page[at:w.db.usable]; kind == leaf {
			err = w.cell(cell)
		} else {
			err = w.visit(binary.BigEndian.Uint32(cell), depth+1)
		}
		if err != nil {
			return err
		}
	}
	if kind == interior {
		return w.visit(binary.BigEndian.Uint32(head[8:]), depth+1)
	}
	return nil
}

// cell reads a row of a leaf.
func (w *walk) cell(b []byte) error {
	size, n := varint(b)
	_, m := varint(b[n:])
	if n == 0 || m == 0 || size > uint64(w.db.left) {
		return errForm
	}
	w.db.left -= int64(size)
	if size > maxRow {
		return nil
	}
	payload, err := w.payload(b[n+m:], int(size))
	if err != nil {
		return err
	}
	row, err := values(payload)
	if err != nil {
		return err
	}
	return w.f(row)
}

// payload joins what lies in the leaf with what lies in pages of its own.
func (w *walk) payload(b []byte, size int) ([]byte, error) {
	usable := w.db.usable
	local := size
	if size > usable-35 {
		least := (usable-12)*32/255 - 23
		if local = least + (size-least)%(usable-4); local > usable-35 {
			local = least
		}
	}
	if local > len(b) || local < size && local+4 > len(b) {
		return nil, errForm
	}
	if local == size {
		return b[:size], nil
	}
	out := append(make([]byte, 0, min(size, 1<<20)), b[:local]...)
	for next := binary.BigEndian.Uint32(b[local:]); len(out) < size; {
		page, err := w.once(next)
		if err != nil {
			return nil, err
		}
		out = append(out, page[4:min(usable, 4+size-len(out))]...)
		next = binary.BigEndian.Uint32(page)
	}
	return out, nil
}
