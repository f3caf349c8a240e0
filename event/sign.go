package event

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/belljar-dev/belljar/event/internal/sign"
)

const (
	sigMark = `,"sig":"`
	// sigSize is what a signature takes at the end of a body.
	sigSize = len(sigMark) + 88 + len(`"`)
)

// A headSigner has the key that signs anchors.
type headSigner interface {
	text() string // the public half, as lines have it
	signHead(message []byte) ([]byte, error)
}

// signed is what the signature of a body in its place stands for.
func signed(seq uint64, prev string, body []byte) []byte {
	b := strconv.AppendUint([]byte(sign.SignedHead), seq, 10)
	b = append(append(append(b, '\n'), prev...), '\n')
	return append(b, body...)
}

// appendSignature appends to body the signature of what is in it.
func appendSignature(k *Key, seq uint64, prev string, body []byte) []byte {
	return endSignature(body, k.Sign(signed(seq, prev, body)))
}

func endSignature(body, sig []byte) []byte {
	body = base64.StdEncoding.AppendEncode(append(body, sigMark...), sig)
	return append(body, '"')
}

// signedBy says whether the line is signed, and by whom it says that it is; only a
// signature that is right counts.
func signedBy(l *link, a *anchor) (public string, right bool) {
	if a.Sig == "" && a.Key == "" {
		return "", false
	}
	cut := len(l.body) - sigSize
	if cut < 0 || !bytes.HasPrefix(l.body[cut:], []byte(sigMark)) {
		return a.Key, false
	}
	public = a.Key
	key, err := base64.StdEncoding.Strict().DecodeString(public)
	sig, err2 := base64.StdEncoding.Strict().DecodeString(a.Sig)
	if err != nil || err2 != nil || len(key) != ed25519.PublicKeySize {
		return public, false
	}
	return public, ed25519.Verify(key, signed(l.seq, l.prev, l.body[:cut]), sig)
}

// parseAnchor takes a line of anchors apart.
func parseAnchor(line []byte) (link, anchor, error) {
	var a anchor
	l, err := parseLink(line)
	if jerr := json.Unmarshal(line, &a); jerr != nil {
		return l, a, errForm
	}
	return l, a, err
}
