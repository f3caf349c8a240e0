package sqlite

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Lengths of the log's header, and of the header of each copy of a page in it.
const (
	logHead   = 32
	frameHead = 24
)

// readLog finds the newest committed copy of each page. The log ends where a sum or a salt is not
// the one that is due: what follows is older, or was being written.
func (db *DB) readLog(size int64) error {
	if size < logHead {
		return nil // it was emptied
	}
	in := bufio.NewReaderSize(io.NewSectionReader(db.log, 0, size), 1<<16)
	head := make([]byte, logHead)
	if _, err := io.ReadFull(in, head); err != nil {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return errForm
	}
	page := binary.BigEndian.Uint32(head[8:])
	if page < 512 || page > 1<<16 || page&(page-1) != 0 {
		return errForm
	}
	sum := sums(order, [2]uint32{}, head[:24])
	if sum != pair(head[24:]) {
		return nil // it was just being begun
	}
	db.page, db.logged = int(page), map[uint32]int64{}
	frame, at := make([]byte, frameHead+int(page)), int64(logHead)
	open := map[uint32]int64{}
	for ; ; at += int64(len(frame)) {
		if _, err := io.ReadFull(in, frame); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
		sum = sums(order, sums(order, sum, frame[:8]), frame[frameHead:])
		if sum != pair(frame[16:]) || pair(frame[8:]) != pair(head[16:]) {
			return nil
		}
		open[binary.BigEndian.Uint32(frame)] = at + frameHead
		if pages := binary.BigEndian.Uint32(frame[4:]); pages > 0 {
			for n, at := range open {
				db.logged[n] = at
			}
			clear(open)
			db.pages = pages
		}
	}
}

func pair(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}
