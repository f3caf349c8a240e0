package h1

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// answers are what servers say, honest and other.
var answers = map[string]string{
	"length":             answer("hello"),
	"empty":              answer(""),
	"chunked":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"trailers":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n",
	"until the end":      "HTTP/1.1 200 OK\r\n\r\nhello",
	"HTTP/1.0":           "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0, goes on":  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
	"close":              "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
	"204":                "HTTP/1.1 204 No Content\r\n\r\n",
	"204 with a body":    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
	"304":                "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n",
	"interim":            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer("hello"),
	"interim, then none": "HTTP/1.1 100 Continue\r\n\r\n",
	"switched":           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
	"two":                answer("hello") + answer("other"),
	"more":               answer("hello") + "\r\n",
	"short":              "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
	"short chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello",
	"no last chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"bad chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
	"two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"same length twice":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"both lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"negative":           "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
	"another coding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"nothing":            "",
	"garbage":            "\x00\x01\x02\xff\r\n\r\n",
	"half a head":        "HTTP/1.1 200 OK\r\nContent-Le",
	"folded":             "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
	"a space before":     "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
	"bare line feeds":    "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
	"status 99":          "HTTP/1.1 099 What\r\nContent-Length: 5\r\n\r\nhello",
	"status 999":         "HTTP/1.1 999 What\r\nContent-Length: 5\r\n\r\nhello",
	"status 2000":        "HTTP/1.1 2000 What\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/2":             "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"a large header":     "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 40<<10) + "\r\nContent-Length: 5\r\n\r\nhello",
	"too large a header": "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 200<<10) + "\r\nContent-Length: 5\r\n\r\nhello",
	"too many fields":    "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: a\r\n", 30<<10) + "Content-Length: 5\r\n\r\nhello",
	"much":               answer(strings.Repeat("0123456789abcdef", 20<<10)),
}

// both asks the server, which says text, by this client and by net/http's transport.
func both(t testing.TB, text, method string, pieces int) (ours, theirs outcome) {
	s := serve(t, nil, func(_ int, c *peer) {
		if c.read() == "" {
			return
		}
		for rest := text; rest != ""; {
			n := min(len(rest), max(1, len(text)/pieces))
			c.say(rest[:n])
			rest = rest[n:]
		}
	})
	defer s.close()
	c := s.client()
	ours = outcomeOf(c.RoundTrip(s.request(t.Context(), method, "/"), untold))
	theirs = outcomeOf(s.transport().RoundTrip(s.request(t.Context(), method, "/")))
	return ours, theirs
}

// TestAnswers: whatever a server says is the same answer as net/http's transport takes it for.
func TestAnswers(t *testing.T) {
	for name, text := range answers {
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			for _, pieces := range []int{1, 7} {
				ours, theirs := both(t, text, method, pieces)
				if ours != theirs {
					t.Errorf("%s, %s, in %d pieces: %+.300v, and the transport's %+.300v", name, method, pieces, ours, theirs)
				}
			}
		}
	}
}

// TestRandomAnswers is TestAnswers with answers that are put together and broken at random.
func TestRandomAnswers(t *testing.T) {
	var all []string
	for _, text := range answers {
		if len(text) < 1<<10 {
			all = append(all, text)
		}
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		text := []byte(all[r.IntN(len(all))])
		for range r.IntN(4) {
			switch i := r.IntN(len(text) + 1); r.IntN(3) {
			case 0:
				text = append(text[:i:i], all[r.IntN(len(all))]...)
			case 1:
				text = text[:i]
			case 2:
				if i < len(text) {
					text[i] = "\r\n :0159a\x00"[r.IntN(10)]
				}
			}
		}
		method := []string{"GET", "HEAD"}[r.IntN(2)]
		if ours, theirs := both(t, string(text), method, 1+r.IntN(5)); ours != theirs {
			t.Errorf("seed %d: %s %q: %+v, and the transport's %+v", seed, method, text, ours, theirs)
		}
	}
}

// FuzzAnswer is TestAnswers with whatever.
func FuzzAnswer(f *testing.F) {
	for _, text := range answers {
		if len(text) < 4<<10 {
			f.Add(text, false, 1)
		}
	}
	f.Fuzz(func(t *testing.T, text string, head bool, pieces int) {
		if strings.Count(text, "HTTP/1") > maxInterim || len(text) > 32<<10 {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		if ours, theirs := both(t, text, method, 1+min(max(pieces, 0), 64)); ours != theirs {
			t.Errorf("%s %q: %+v, and the transport's %+v", method, text, ours, theirs)
		}
	})
}
