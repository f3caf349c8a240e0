package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
)

// slow gives its pieces one by one, each so long after the last one was taken.
type slow struct {
	pieces []string
	pause  time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause) // of the bubble's clock
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// seen is what somebody inside sees of an answer: the pieces with the times at which they
// came.
func seen(t *testing.T, keys *Keys, src io.Reader) (text string, shape []string) {
	t.Helper()
	body, err := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, io.NopCloser(src))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p := make([]byte, 4<<10)
	var all bytes.Buffer
	for {
		n, err := body.Read(p)
		all.Write(p[:n])
		shape = append(shape, fmt.Sprint(n, " bytes after ", time.Since(began)))
		if err != nil {
			return all.String(), shape
		}
	}
}

// TestPiecesTellNothing: how an answer is cut and when it arrives is the same whether or
// not what a host sends is the beginning of a value, for everything but the whole value.
func TestPiecesTellNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, pair := range [][2]string{
		{testKey, "sk-ant-api03-" + sample(base64URL, len(testKey)-15) + "AA"},
		{"hunter2!/\\\"x", "correct%%21b"},
		{"k" + sample(base62, 39), "m" + sample(base62, 39)},
		{"ab!cd!ef!gh!ij!kl", "Xbcdefghijklmnop1"}, // of the same stand-in
	} {
		var keys [2]*Keys
		_, creds := keysFor(t, pair[0])
		for !apart([]byte(creds[0].StandIn), []byte(pair[1])) {
			_, creds = keysFor(t, pair[0])
		}
		for i, v := range pair {
			keys[i], _ = makeKeys(t, creds, "KEY0="+v)
		}
		var hints []string
		for _, form := range spellings(pair[0], rng) {
			for n := 1 + rng.IntN(9); n < len(form); n += 9 + rng.IntN(40) {
				if survives(form[:n], pair[0]) == "" {
					hints = append(hints, form[:n])
				}
			}
		}
		for _, pause := range []time.Duration{0, patience / 2, 2 * patience} {
			var pieces []string
			for _, h := range hints {
				pieces = append(pieces, "data: "+h, "!", h, "\n\n", sample(base62, 900)+h)
			}
			synctest.Test(t, func(t *testing.T) {
				want, shape := seen(t, keys[0], &slow{append([]string(nil), pieces...), pause})
				got, other := seen(t, keys[1], &slow{append([]string(nil), pieces...), pause})
				if got != want || got != strings.Join(pieces, "") {
					t.Fatalf("%q: what holds no value was changed", pair[0])
				}
				for i := range min(len(shape), len(other)) {
					if shape[i] != other[i] {
						t.Fatalf("%q, pause %v: piece %d has %s, with another value %s", pair[0], pause, i, shape[i], other[i])
					}
				}
			})
		}
	}
}

// TestScrubAtOnce: what arrives is passed on at once but for the characters at its end
// among which a value may begin; they follow, few of them at last when patience is over.
func TestScrubAtOnce(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		body, err := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, r)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		p := make([]byte, 32<<10)
		read := func(want string, after time.Duration) {
			t.Helper()
			began := time.Now()
			n, err := body.Read(p)
			if took := time.Since(began); err != nil || string(p[:n]) != want || took != after {
				t.Errorf("read %q after %v, %v; want %q after %v", p[:n], took, err, want, after)
			}
		}
		for _, event := range []string{"data: {\"delta\":\"s\"}\n\n", "event: ping\ndata: sk-ant\n\n", "data: 100%\n\n", "data: " + testKey[:60] + "\n\n", `{"a":"b"}`} {
			go func() { _, _ = io.WriteString(w, event) }()
			read(event, 0)
		}
		go func() { _, _ = io.WriteString(w, "$ ls") }()
		read("$ ", 0)
		read("ls", patience)
		go func() { _, _ = io.WriteString(w, " -l\n") }()
		read(" -l\n", 0)
		// A value in two pieces, and one of which a part had to be passed on.
		half := len(testKey) / 2
		go func() {
			_, _ = io.WriteString(w, "x"+testKey[:half])
			_, _ = io.WriteString(w, testKey[half:]+"\n")
		}()
		read("x"+creds[0].StandIn+"\n", 0)
		for _, c := range []int{1, minFound - 1} {
			go func() { _, _ = io.WriteString(w, testKey[:c]) }()
			read(testKey[:c], patience)
			go func() { _, _ = io.WriteString(w, testKey[c:]+" "+testKey+"\n") }()
			read(creds[0].StandIn[c:]+" "+creds[0].StandIn+"\n", 0)
		}
		// More of one than that is not passed on, however long it takes, also in small parts.
		for _, cuts := range [][]int{{half}, {len(testKey) - 1}, {4, minFound + 1, half}} {
			go func() {
				from := 0
				for _, c := range cuts {
					_, _ = io.WriteString(w, testKey[from:c])
					time.Sleep(time.Hour)
					from = c
				}
				_, _ = io.WriteString(w, testKey[from:]+"\n")
			}()
			passed := 0
			if cuts[0] < minFound {
				read(testKey[:cuts[0]], patience)
				passed = cuts[0]
			}
			read(creds[0].StandIn[passed:]+"\n", time.Duration(len(cuts))*time.Hour-time.Duration(min(passed, 1))*patience)
		}
	})
}

// TestBrokenAnswer: of an answer that breaks off nothing that was held back is seen; of one
// that ends, all.
func TestBrokenAnswer(t *testing.T) {
	keys, _ := keysFor(t, testKey)
	part := testKey[:len(testKey)-1]
	for err, want := range map[error]string{io.ErrUnexpectedEOF: "key: ", errors.New("stream error"): "key: ", io.EOF: "key: " + part} {
		if got, _ := seen(t, keys, io.MultiReader(strings.NewReader("key: "+part), iotest.ErrReader(err))); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// TestCloseWhileHeld: a reader that waits behind what is held is let go.
func TestCloseWhileHeld(t *testing.T) {
	keys, _ := keysFor(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		body, err := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, r)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(w, "held") }()
		done := make(chan string)
		go func() {
			b, err := io.ReadAll(body)
			done <- fmt.Sprint(string(b), " ", err != nil)
		}()
		synctest.Wait()
		_ = body.Close()
		if got := <-done; got != " true" {
			t.Errorf("got %q", got)
		}
	})
}

// TestAnswersBeforeTheirValues: an answer that began before a value was known is searched
// for it, once it is.
func TestAnswersBeforeTheirValues(t *testing.T) {
	for _, before := range []string{"", "sk-old-" + sample(base62, 30)} {
		file := filepath.Join(t.TempDir(), "key")
		write := func(v string) {
			if err := os.WriteFile(file, []byte(v), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if before != "" {
			write(before)
		}
		creds := []belljar.Credential{{
			Name: "KEY", From: belljar.CredentialSource{File: file}, Form: belljar.FormBearer, Header: "Authorization",
			Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
		}}
		keys, creds := makeKeys(t, creds)
		r, w := io.Pipe()
		body, err := (&Verdict{keys: keys, bound: true}).Response(200, http.Header{}, r)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 1<<10)
		go func() { _, _ = io.WriteString(w, "begin\n") }()
		if n, _ := body.Read(p); string(p[:n]) != "begin\n" {
			t.Fatalf("read %q", p[:n])
		}
		write(testKey)
		e := keys.entries[0]
		e.src.looked = time.Time{}
		if v, why := keys.current(context.Background(), e); why != "" || v.copy() != testKey {
			t.Fatal(why)
		}
		go func() { _, _ = io.WriteString(w, "somebody sent "+testKey+" after "+before+"\n"); _ = w.Close() }()
		got, err := io.ReadAll(body)
		if err != nil || bytes.Contains(got, []byte(testKey)) || before != "" && bytes.Contains(got, []byte(before)) {
			t.Errorf("%s: read %q, %v", creds[0].StandIn, got, err)
		}
	}
}

// TestSwallowedBeginnings: what stands before a value cannot make its first characters
// part of an escape.
func TestSwallowedBeginnings(t *testing.T) {
	for _, value := range []string{"1aBcDeFgHiJkLmN/OpQr+StUv==", "u00ab1234567890/xyzXYZ", "00ab1234567890/xyzXYZ+", "/ab1234567890/xyzXYZ+pq"} {
		keys, _ := keysFor(t, value)
		for _, before := range []string{"%4", "%", `\u00`, `\u0`, `\u004`, `\u`, `\`, `\x`, `\x4`, `\\\u00`} {
			for _, form := range []string{strings.ReplaceAll(value, "/", "%2F"), strings.ReplaceAll(value, "/", `\/`), strings.ReplaceAll(value, "z", `\u007a`)} {
				got := scrubbed(t, keys, strings.NewReader(before+form+" "))
				if strings.Contains(got, form[8:]) {
					t.Errorf("%q survives in %q", form, got)
				}
			}
		}
	}
}
