package plan

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format's own checksum
	"encoding/binary"
	"fmt"
)

// The format of Java's own key store, which every Java reads whatever its default is:
// a head, entries, and a checksum over both and a password that everybody knows.
const (
	jksMagic    = 0xfeedfeed
	jksVersion  = 2
	jksTrusted  = 2 // an entry that is a certificate
	jksPassword = "changeit"
	jksHead     = 12 // magic, version, count of entries
)

// javaStore is store, a key store of Java, with the certificates of extra as well. A
// store in another format is made anew of the certificates of bundle.
func javaStore(store, bundle []byte, extra string) []byte {
	var b bytes.Buffer
	head := [3]uint32{jksMagic, jksVersion, 0}
	if len(store) >= jksHead+sha1.Size && binary.BigEndian.Uint32(store) == jksMagic && binary.BigEndian.Uint32(store[4:]) == jksVersion {
		head[2] = binary.BigEndian.Uint32(store[8:])
		b.Write(store[jksHead : len(store)-sha1.Size])
		bundle = nil
	}
	add := func(alias string, der []byte) {
		head[2]++
		write := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) } // a buffer takes all
		text := func(s string) {
			write(uint16(len(s)))
			b.WriteString(s)
		}
		write(uint32(jksTrusted))
		text(alias)
		write(uint64(0)) // when it was added, in milliseconds
		text("X.509")
		write(uint32(len(der)))
		b.Write(der)
	}
	for i, der := range ders(bundle) {
		add(fmt.Sprintf("system-%d", i), der)
	}
	for i, der := range ders([]byte(extra)) {
		add(fmt.Sprintf("belljar-%d", i), der)
	}
	out := make([]byte, 0, jksHead+b.Len()+sha1.Size)
	for _, v := range head {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	out = append(out, b.Bytes()...)
	sum := sha1.New()
	for _, c := range []byte(jksPassword) {
		sum.Write([]byte{0, c})
	}
	sum.Write([]byte("Mighty Aphrodite"))
	sum.Write(out)
	return sum.Sum(out)
}
