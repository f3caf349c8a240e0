package plan

import (
	"crypto/md5"  //nolint:gosec // the format has these sums as names of certificates
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"strings"
)

// nssLabel is the name of the gateway's certificate in the data base of [TrustFiles]
// that browsers read; a file that holds it was written by belljar.
const nssLabel = "belljar gateway"

// nssColumns are the columns of the one table of such a data base: attributes of
// PKCS #11 in hexadecimal.
const nssColumns = "id, a0, a1, a2, a3, a10, a11, a12, a80, a81, a82, a83, a84, a85, a86, a87, a88, a89, a8a, a8b, a90, a100, a101, a102, a103, a104, a105, a106, " +
	"a107, a108, a109, a10a, a10b, a10c, a110, a111, a120, a121, a122, a123, a124, a125, a126, a127, a128, a129, a130, a131, a132, a133, a134, a160, a161, a162, " +
	"a163, a164, a165, a166, a170, a180, a181, a200, a201, a202, a210, a300, a301, a302, a400, a401, a402, a403, a404, a405, a406, a480, a481, a482, a500, a501, " +
	"a502, a503, a40000211, a40000212, a80000001, ace534351, ace534352, ace534353, ace534354, ace534355, ace534356, ace534357, ace534358, ace534364, ace534365, " +
	"ace534366, ace534367, ace534368, ace534369, ace534373, ace534374, ace536351, ace536352, ace536353, ace536354, ace536355, ace536356, ace536357, ace536358, " +
	"ace536359, ace53635a, ace53635b, ace53635c, ace53635d, ace53635e, ace53635f, ace536360, ace5363b4, ace5363b5, ad5a0db00"

// Values of PKCS #11 and NSS, as the data base has them: big-endian, four bytes.
const (
	nssCertificate = "\x00\x00\x00\x01" // CKO_CERTIFICATE
	nssTrust       = "\xce\x53\x43\x53" // CKO_NSS_TRUST
	nssX509        = "\x00\x00\x00\x00" // CKC_X_509
	nssDelegator   = "\xce\x53\x43\x52" // CKT_NSS_TRUSTED_DELEGATOR: an authority
	nssVerify      = "\xce\x53\x43\x53" // CKT_NSS_MUST_VERIFY_TRUST
	nssTrue        = "\x01"
	nssFalse       = "\x00"
	nssEmpty       = "\xa5\x00\x5a" // an attribute that is there and empty
)

// nssStore is a data base of certificates (cert9.db) that makes Chromium and others
// which use NSS trust one authority for servers. Nil where the certificate does not fit.
func nssStore(ca string) []byte {
	der := ders([]byte(ca))
	if len(der) == 0 {
		return nil
	}
	c, err := x509.ParseCertificate(der[0])
	if err != nil {
		return nil
	}
	serial, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		return nil
	}
	key := sha1.Sum(c.RawSubjectPublicKeyInfo)
	s1, m5 := sha1.Sum(c.Raw), md5.Sum(c.Raw)
	rows := []map[string]string{
		{
			"a0": nssCertificate, "a1": nssTrue, "a2": nssFalse, "a3": nssLabel, "a11": string(c.Raw), "a80": nssX509, "a81": string(c.RawIssuer),
			"a82": string(serial), "a101": string(c.RawSubject), "a102": string(key[:]), "a170": nssTrue,
		},
		{
			"a0": nssTrust, "a1": nssTrue, "a2": nssFalse, "a3": nssEmpty, "a81": string(c.RawIssuer), "a82": string(serial), "a170": nssTrue,
			"ace536358": nssDelegator, "ace536359": nssVerify, "ace53635a": nssVerify, "ace53635b": nssVerify, "ace536360": nssFalse,
			"ace5363b4": string(s1[:]), "ace5363b5": string(m5[:]),
		},
	}
	names := strings.Split(nssColumns, ", ")
	var cells [][]byte
	for i, r := range rows {
		values := []any{int64(i + 1)}
		for _, n := range names[1:] {
			if v, ok := r[n]; ok {
				values = append(values, []byte(v))
			} else {
				values = append(values, nil)
			}
		}
		cells = append(cells, sqliteCell(int64(i+1), values))
	}
	schema := sqliteCell(1, []any{"table", "nssPublic", "nssPublic", int64(2), "CREATE TABLE nssPublic (" + nssColumns + ")"})
	return sqliteFile(schema, cells)
}

// sqlitePage is the size of a page; a row that does not fit into one is not written.
const sqlitePage = 4096

// sqliteFile is a data base of one table without indexes: a page with the schema, a
// page with the rows.
func sqliteFile(schema []byte, rows [][]byte) []byte {
	head := make([]byte, 100)
	copy(head, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(head[16:], sqlitePage)
	head[18], head[19] = 1, 1                    // written and read with a rollback journal
	head[21], head[22], head[23] = 64, 32, 32    // fixed
	binary.BigEndian.PutUint32(head[24:], 1)     // changes
	binary.BigEndian.PutUint32(head[28:], 2)     // pages
	binary.BigEndian.PutUint32(head[40:], 1)     // version of the schema
	binary.BigEndian.PutUint32(head[44:], 4)     // format of the schema
	binary.BigEndian.PutUint32(head[56:], 1)     // UTF-8
	binary.BigEndian.PutUint32(head[92:], 1)     // changes, when it was written by
	binary.BigEndian.PutUint32(head[96:], 3<<20) // this version
	first, second := sqliteLeaf(head, [][]byte{schema}), sqliteLeaf(nil, rows)
	if first == nil || second == nil {
		return nil
	}
	return append(first, second...)
}

// sqliteLeaf is a page of a table: cells from its end, their places from its beginning.
func sqliteLeaf(head []byte, cells [][]byte) []byte {
	page := make([]byte, sqlitePage)
	copy(page, head)
	at, end := len(head), sqlitePage
	page[at] = 13 // a leaf of a table
	binary.BigEndian.PutUint16(page[at+3:], uint16(len(cells)))
	for i, c := range cells {
		end -= len(c)
		if len(c) > sqlitePage-100 || end < at+8+2*len(cells) {
			return nil
		}
		copy(page[end:], c)
		binary.BigEndian.PutUint16(page[at+8+2*i:], uint16(end))
	}
	binary.BigEndian.PutUint16(page[at+5:], uint16(end))
	return page
}

// sqliteCell is a row: nil, a small number, text or bytes in each column.
func sqliteCell(id int64, values []any) []byte {
	var types, body []byte
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			types = sqliteVarint(types, 0)
		case int64:
			types = sqliteVarint(types, 1)
			body = append(body, byte(v))
		case string:
			types = sqliteVarint(types, uint64(len(v))*2+13)
			body = append(body, v...)
		case []byte:
			types = sqliteVarint(types, uint64(len(v))*2+12)
			body = append(body, v...)
		}
	}
	// The head begins with its own length, of which its own length is a part.
	size := len(types) + 1
	if size >= 128 {
		size++
	}
	record := append(sqliteVarint(nil, uint64(size)), types...)
	record = append(record, body...)
	cell := sqliteVarint(sqliteVarint(nil, uint64(len(record))), uint64(id))
	return append(cell, record...)
}

// sqliteVarint appends n, at most 28 bits, seven of them in a byte, the highest first.
func sqliteVarint(b []byte, n uint64) []byte {
	for shift := 21; shift > 0; shift -= 7 {
		if n>>shift > 0 {
			b = append(b, byte(n>>shift)|0x80)
		}
	}
	return append(b, byte(n&0x7f))
}
