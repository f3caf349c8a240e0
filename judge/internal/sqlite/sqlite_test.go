package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// fixture is a database of 512-byte pages that SQLite 3.40 wrote: rows 0 to 59 in the file, what was
// committed later in the log, where some rows follow that never were.
func fixture(t testing.TB) (db, log []byte) {
	t.Helper()
	db, err := os.ReadFile("testdata/part.db")
	if err != nil {
		t.Fatal(err)
	}
	if log, err = os.ReadFile("testdata/part.db-wal"); err != nil {
		t.Fatal(err)
	}
	return db, log
}

// read are the rows of the table part, as text.
func read(db, log []byte) (rows []string, err error) {
	d, err := Open(bytes.NewReader(db), int64(len(db)), bytes.NewReader(log), int64(len(log)))
	if err != nil {
		return nil, err
	}
	err = d.Rows("part", func(row []Value) error {
		if len(row) == 3 {
			rows = append(rows, fmt.Sprintf("%s %d %s", row[0].Text, row[1].Int, row[2].Text))
		}
		return nil
	})
	return rows, err
}

func wanted(n int) (rows []string) {
	numbers := []int64{0, 1, -1, 127, -129, 40000, -9000000, 1 << 31, -(1 << 40), 1 << 62}
	for i := range n {
		number := numbers[i%10]
		switch {
		case n > 60 && (i == 5 || i == 44):
			continue
		case i == 61:
			number = 7
		}
		rows = append(rows, fmt.Sprintf(`p%03d %d {"i":%d,"x":"%s"}`, i, number, i, strings.Repeat("x", i*37%1500)))
	}
	return rows
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("row %d: %.60s, want %.60s", i, got[i], want[i])
		}
	}
}

func TestRows(t *testing.T) {
	db, log := fixture(t)
	rows, err := read(db, log)
	if err != nil {
		t.Fatal(err)
	}
	same(t, rows, wanted(80))
	if rows, err = read(db, nil); err != nil {
		t.Fatal(err)
	}
	same(t, rows, wanted(60))
	d, err := Open(bytes.NewReader(db), int64(len(db)), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Rows("nothing", nil); err != ErrNoTable {
		t.Error(err)
	}
}

// TestLogCut: of a log that was cut or changed anywhere, what was committed before stays.
func TestLogCut(t *testing.T) {
	db, log := fixture(t)
	for cut := 0; cut < len(log); cut += 100 {
		rows, err := read(db, log[:cut])
		if err != nil || len(rows) != 60 && len(rows) < 78 {
			t.Fatalf("cut at %d: %d rows, %v", cut, len(rows), err)
		}
	}
	for at := logHead; at < len(log); at += 53 {
		changed := bytes.Clone(log)
		changed[at] ^= 0x55
		if rows, err := read(db, changed); err != nil || len(rows) < 60 {
			t.Fatalf("changed at %d: %d rows, %v", at, len(rows), err)
		}
	}
}

// TestCircle: pages that point at each other end.
func TestCircle(t *testing.T) {
	page := make([]byte, 512)
	copy(page, "SQLite format 3\x00\x02\x00")
	page[100] = interior
	page[100+11] = 1 // the right one is itself
	if _, err := read(page, nil); err != errForm {
		t.Error(err)
	}
	// Every cell of a leaf is the same long row.
	page[100], page[104] = leaf, 100
	for i := range 100 {
		page[108+2*i+1], page[108+2*i] = 0x50, 0x01 // at 336
	}
	copy(page[336:], []byte{100, 1, 2, 211})
	if _, err := read(page, nil); err != errForm {
		t.Error(err)
	}
}

func FuzzRows(f *testing.F) {
	db, log := fixture(f)
	f.Add(db, log)
	f.Add(db[:4096], log[:4096])
	f.Fuzz(func(t *testing.T, db, log []byte) {
		rows, _ := read(db, log)
		n := 0
		for _, r := range rows {
			n += len(r)
		}
		if limit := 25*(len(db)+len(log)) + 100; n > limit { // a number of a byte has up to 20 digits
			t.Errorf("%d bytes of rows from %d", n, limit)
		}
	})
}
