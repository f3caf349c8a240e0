package gitindex

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
)

// maxObject is the largest object that git writes into a file of its own, and
// some: what is larger goes into packs.
const maxObject = 1 << 30

func (f Format) hash() hash.Hash {
	if f == SHA256 {
		return sha256.New()
	}
	return sha1.New()
}

// FormatOfName is the format in which name, in hexadecimal digits, names an object.
func FormatOfName(name string) (f Format, ok bool) {
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, false
		}
	}
	switch len(name) {
	case 2 * int(SHA1):
		return SHA1, true
	case 2 * int(SHA256):
		return SHA256, true
	}
	return 0, false
}

// CheckLoose says why r is not the loose object called name. git believes the name
// of an object file: with another content the host would check out, or build on,
// something that nobody committed.
func CheckLoose(name string, r io.Reader) error {
	f, ok := FormatOfName(name)
	if !ok {
		return errors.New("it has not the name of an object")
	}
	in := bufio.NewReaderSize(r, 32<<10) // a byte reader: zlib reads no further than its end
	z, err := zlib.NewReader(in)
	if err != nil {
		return fmt.Errorf("it is no object: %w", err)
	}
	body := bufio.NewReader(z)
	head, size, err := looseHeader(body)
	if err != nil {
		return err
	}
	h := f.hash()
	h.Write(head)
	n, err := io.Copy(h, io.LimitReader(body, size))
	if err != nil || n != size {
		return errors.Join(errors.New("it is an object that was cut off"), err)
	}
	// The end is read for its checksum too.
	if n, err := io.Copy(io.Discard, io.LimitReader(body, 1)); err != nil || n != 0 {
		return errors.Join(errors.New("it is an object with more than its size"), err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return errors.New("there is something behind the object")
	}
	if hex.EncodeToString(h.Sum(nil)) != name {
		return errors.New("its name is that of another object")
	}
	return nil
}

// looseHeader reads "TYPE SIZE\0".
func looseHeader(r *bufio.Reader) (head []byte, size int64, err error) {
	for len(head) < 32 {
		c, err := r.ReadByte()
		if err != nil {
			return nil, 0, fmt.Errorf("it is no object: %w", err)
		}
		if head = append(head, c); c == 0 {
			break
		}
	}
	typ, num, ok := bytes.Cut(bytes.TrimSuffix(head, []byte{0}), []byte{' '})
	switch string(typ) {
	case "blob", "tree", "commit", "tag":
	default:
		ok = false
	}
	size, err = strconv.ParseInt(string(num), 10, 64)
	if !ok || err != nil || size < 0 || strconv.FormatInt(size, 10) != string(num) || head[len(head)-1] != 0 {
		return nil, 0, errors.New("it has not the header of an object")
	}
	if size > maxObject {
		return nil, 0, fmt.Errorf("it is an object of more than %d bytes", maxObject)
	}
	return head, size, nil
}

// CheckPack says why r is no whole pack. It gives the checksum that ends it and the
// number of objects. The objects themselves are not looked at.
func CheckPack(r io.ReaderAt, size int64, f Format) (sum []byte, objects uint32, err error) {
	if size < 12+int64(f) {
		return nil, 0, errors.New("the pack is too short")
	}
	head := make([]byte, 12)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, 0, err
	}
	if v := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || v != 2 && v != 3 {
		return nil, 0, errors.New("it has not the header of a pack")
	}
	sum, err = checkSum(r, size, f)
	return sum, binary.BigEndian.Uint32(head[8:]), err
}

// checkSum compares the checksum at the end with what precedes it.
func checkSum(r io.ReaderAt, size int64, f Format) ([]byte, error) {
	h := f.hash()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(r, 0, size-int64(f)), make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	sum := make([]byte, f)
	if _, err := r.ReadAt(sum, size-int64(f)); err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(sum, h.Sum(nil)) {
		return nil, errors.New("its checksum does not match its content")
	}
	return sum, nil
}

// CheckPackIndex says why r is no index of a pack: header, table, order of names,
// size and checksum. It gives the checksum of the pack that it belongs to and the
// number of objects; that the names are those of the objects in the pack is not
// looked at.
func CheckPackIndex(r io.ReaderAt, size int64, f Format) (pack []byte, objects uint32, err error) {
	const fixed = 8 + 256*4
	if size < fixed+2*int64(f) {
		return nil, 0, errors.New("the index of the pack is too short")
	}
	head := make([]byte, fixed)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, 0, err
	}
	if string(head[:4]) != "\xfftOc" || binary.BigEndian.Uint32(head[4:]) != 2 {
		return nil, 0, errors.New("it has not the header of a pack's index")
	}
	var last uint32
	for i := range 256 {
		n := binary.BigEndian.Uint32(head[8+4*i:])
		if n < last {
			return nil, 0, errors.New("the table of the pack's index is not in order")
		}
		last = n
	}
	least := fixed + int64(last)*(int64(f)+8) + 2*int64(f)
	if size < least || size > least+8*int64(last) {
		return nil, 0, errors.New("the size of the pack's index does not match its table")
	}
	if err := namesInOrder(io.NewSectionReader(r, fixed, int64(last)*int64(f)), head[8:], f); err != nil {
		return nil, 0, err
	}
	if _, err := checkSum(r, size, f); err != nil {
		return nil, 0, err
	}
	pack = make([]byte, f)
	_, err = r.ReadAt(pack, size-2*int64(f))
	return pack, last, err
}

// namesInOrder checks the names of a pack's index against its table.
func namesInOrder(r io.Reader, table []byte, f Format) error {
	in := bufio.NewReaderSize(r, 64<<10)
	prev, name := make([]byte, f), make([]byte, f)
	for i := uint32(0); ; i++ {
		if _, err := io.ReadFull(in, name); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		from := uint32(0)
		if name[0] > 0 {
			from = binary.BigEndian.Uint32(table[4*(int(name[0])-1):])
		}
		if i > 0 && bytes.Compare(prev, name) > 0 || i < from || i >= binary.BigEndian.Uint32(table[4*int(name[0]):]) {
			return errors.New("the names in the pack's index are not in order")
		}
		prev, name = name, prev
	}
}

// PackTrailer is the checksum that ends a pack, or with back 2 the one before the
// last in the index of one, unchecked.
func PackTrailer(r io.ReaderAt, size int64, f Format, back int64) ([]byte, error) {
	sum := make([]byte, f)
	if size < back*int64(f) {
		return nil, io.ErrUnexpectedEOF
	}
	if _, err := r.ReadAt(sum, size-back*int64(f)); err != nil && err != io.EOF {
		return nil, err
	}
	return sum, nil
}

// CheckLFS says why r is not the content that git-lfs calls name: it believes what
// it finds in its own folder.
func CheckLFS(name string, r io.Reader) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != name {
		return errors.New("its name is that of another content")
	}
	return nil
}
