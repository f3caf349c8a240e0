package evidence

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
)

// What an envelope of ours says of itself.
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://belljar.dev/evidence/v1"
)

// MaxFile bounds an evidence file.
const MaxFile = 32 << 20

// An Envelope is a DSSE envelope (github.com/secure-systems-lab/dsse).
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []Signature `json:"signatures"`
}

// A Signature is one of an envelope.
type Signature struct {
	KeyID string `json:"keyid"` // the fingerprint
	Sig   string `json:"sig"`   // base64
}

// A Statement is an in-toto statement.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// A Subject is what a statement is about.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// A Predicate is what is said about a record.
type Predicate struct {
	Signer Signer    `json:"signer"`
	Made   time.Time `json:"made"`
	Record Record    `json:"record"`
	Run    Run       `json:"run"`
	// Enforcement is what the tier held of what the plan asked for.
	Enforcement []belljar.Enforcement `json:"enforcement"`
	// Verified is what belljar verify found on this host, newest last; null where it was not
	// run, and VerifiedNote says so.
	Verified     []Verified `json:"verified"`
	VerifiedNote string     `json:"verified_note,omitempty"`
	Approvals    []Approval `json:"approvals"`
	// ApprovalsCut counts questions and answers that are left out: there were too many.
	ApprovalsCut int           `json:"approvals_cut,omitempty"`
	Summary      event.Summary `json:"summary"`
	// Waits is what had not landed on the host when the evidence was made, as belljar diff --json
	// has it; null where that could not be found out, and WaitsNote says why.
	Waits     json.RawMessage `json:"waits"`
	WaitsNote string          `json:"waits_note,omitempty"`
	Diff      string          `json:"diff,omitempty"` // the same as text; cut where it is long
	DiffCut   bool            `json:"diff_cut,omitempty"`
	Host      Host            `json:"host"`
}

// A Signer says whose signature it is.
type Signer struct {
	Key         string `json:"key"` // ed25519, base64
	Fingerprint string `json:"fingerprint"`
}

// A Record says which record it is about, and what its own check found.
type Record struct {
	ID     string       `json:"id"`
	Name   string       `json:"name"`
	SHA256 string       `json:"sha256"` // of its lines
	Bytes  int64        `json:"bytes"`
	Head   string       `json:"head"` // the hash of its last line
	Events int          `json:"events"`
	Status event.Status `json:"status"`
	// Signer is the fingerprint of the key that its heads are signed with.
	Signer string        `json:"signer,omitempty"`
	Faults []event.Fault `json:"faults"` // empty: nothing was changed
	Notes  []string      `json:"notes,omitempty"`
}

// A Run says what was run, and with what. Hashes are SHA-256.
type Run struct {
	Argv      []string          `json:"argv"`
	Workspace string            `json:"workspace"`
	Tier      string            `json:"tier"`
	Version   string            `json:"version"` // of belljar
	Binary    string            `json:"binary"`  // hash of belljar's program
	Policy    string            `json:"policy"`  // hash of the merged policy
	Plan      string            `json:"plan"`    // hash of the record's line that holds the plan
	Started   time.Time         `json:"started"`
	Ended     time.Time         `json:"ended,omitzero"`
	End       *belljar.EndEvent `json:"end,omitempty"` // nil without an end event
}

// Verified is a result of belljar verify that was kept.
type Verified struct {
	Tier    string          `json:"tier"`
	At      time.Time       `json:"at"`
	Version string          `json:"version"`
	Binary  string          `json:"binary"`
	Kernel  string          `json:"kernel"`
	Passed  int             `json:"passed"`
	Failed  int             `json:"failed"`
	Report  json.RawMessage `json:"report"`
}

// An Approval is a question that somebody outside was asked, or its answer.
type Approval struct {
	At    time.Time         `json:"at"`
	Kind  belljar.EventKind `json:"kind"`
	Event belljar.AskEvent  `json:"event"`
}

// A Host says on which machine the evidence was made.
type Host struct {
	Name   string `json:"name"`
	System string `json:"system"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	UID    int    `json:"uid"`
}

// PAE is what a DSSE signature stands for.
func PAE(payloadType string, payload []byte) []byte {
	b := []byte("DSSEv1 ")
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// Sign makes the evidence file for p, whose Signer it fills in.
func Sign(key *event.Key, p Predicate) ([]byte, error) {
	p.Signer = Signer{base64.StdEncoding.EncodeToString(key.Public()), event.Fingerprint(key.Public())}
	payload, err := compact(Statement{
		Type: StatementType, PredicateType: PredicateType, Predicate: p,
		Subject: []Subject{{"belljar record " + p.Record.ID, map[string]string{"sha256": p.Record.SHA256}}},
	})
	if err != nil {
		return nil, err
	}
	b, err := compact(Envelope{
		PayloadType: PayloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []Signature{{p.Signer.Fingerprint, base64.StdEncoding.EncodeToString(key.Sign(PAE(PayloadType, payload)))}},
	})
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("the evidence would have %d MiB, and may have %d", len(b)>>20, MaxFile>>20)
	}
	return append(b, '\n'), err
}

func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// ErrKey says that evidence is signed by another key than the one that was named.
var ErrKey = errors.New("it is signed with another key")

// Options say what evidence is held against.
type Options struct {
	Key string // fingerprint or public key in base64, known from elsewhere; empty: any
}

// Verify checks an evidence file and returns what it states. Without Options.Key it
// says only that the file is as its key signed it.
func Verify(b []byte, o Options) (*Statement, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("it has more than %d MiB", MaxFile>>20)
	}
	var e Envelope
	if err := strict(b, &e); err != nil {
		return nil, fmt.Errorf("it is no DSSE envelope: %w", err)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil || e.PayloadType != PayloadType || len(e.Signatures) != 1 {
		return nil, errors.New("it is no DSSE envelope with one signed in-toto statement")
	}
	// The key is taken from what is still to be checked, and means nothing before it is.
	var s Statement
	if err := strict(payload, &s); err != nil {
		return nil, fmt.Errorf("it holds no statement of belljar's: %w", err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(s.Predicate.Signer.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("it names no key")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig)
	if err != nil || !ed25519.Verify(key, PAE(PayloadType, payload), sig) {
		return nil, errors.New("the signature does not fit: it was changed")
	}
	return &s, s.check(key, &e.Signatures[0], o)
}

// check looks at what is signed.
func (s *Statement) check(key ed25519.PublicKey, sig *Signature, o Options) error {
	p := &s.Predicate
	print := event.Fingerprint(key)
	switch {
	case o.Key != "" && o.Key != print && o.Key != p.Signer.Key:
		return fmt.Errorf("%w, %s", ErrKey, print)
	case s.Type != StatementType || s.PredicateType != PredicateType:
		return errors.New("it states something else than belljar's evidence does")
	case p.Signer.Fingerprint != print || sig.KeyID != print:
		return errors.New("it names another key than the one that signed it")
	case len(s.Subject) != 1 || s.Subject[0].Digest["sha256"] != p.Record.SHA256 || p.Record.SHA256 == "":
		return errors.New("its subject is another record than it tells of")
	}
	return nil
}

// strict reads one JSON value without unknown keys, and nothing behind it.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return errors.New("something stands behind it")
	}
	return nil
}
