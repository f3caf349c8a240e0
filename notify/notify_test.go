package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/godbus/dbus/v5"
)

func TestMain(m *testing.M) {
	Reexec(os.Args)
	os.Exit(m.Run())
}

func status(n int) *int { return &n }

// TestPace: a flood of questions is three notes in a minute, that say how many there are;
// the end is told at once, and takes the place of what waits.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		var got []string
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.run(t.Context(), func(_ context.Context, n Note) {
				got = append(got, fmt.Sprint(time.Since(began), " ", n.Event, n.More))
			})
		}()
		flood := func(n int) {
			for range n {
				b.put(Note{Event: Waits, Question: &Question{ID: "1"}})
				synctest.Wait()
			}
		}
		flood(20)
		time.Sleep(90 * time.Second)
		flood(5)
		b.put(Note{Event: Ends, End: &End{Status: status(0)}})
		b.put(Note{Event: Waits})
		b.shut()
		<-done
		want := []string{"0s waits0", "0s waits0", "0s waits0", "1m0s waits16", "1m30s waits0", "1m30s waits0", "1m30s end0"}
		if !slices.Equal(got, want) {
			t.Errorf("%q\nwant\n%q", got, want)
		}
	})
}

// TestText: whatever comes from inside is a bounded line of text.
func TestText(t *testing.T) {
	for want, n := range map[string]Note{
		"belljar: box waits for you: POST api.example.com (belljar approve box 3)":                                {Event: Waits, Question: &Question{ID: "3", Host: "api.example.com", Port: 443, Method: "POST"}},
		"belljar: box waits for you: a connection to db.example.com port 5432, and 17 more (belljar approve box)": {Event: Waits, More: 17, Question: &Question{ID: "3", Host: "db.example.com", Port: 5432}},
		"belljar: box waits for you: to run git (belljar approve box 3)":                                          {Event: Waits, Question: &Question{ID: "3", Program: Program("/usr/bin/git push --token=SECRET")}},
		"belljar: box proposes a rule: a connection to x.example (belljar approve box 3)":                         {Event: Waits, Question: &Question{ID: "3", Host: "x.example", Port: 443, Proposed: true}},
		"belljar: box is done":                   {Event: Ends, End: &End{Status: status(0), Reason: "exited"}},
		"belljar: box ended with status 3":       {Event: Ends, End: &End{Status: status(3), Reason: "exited"}},
		"belljar: box reached its limit of time": {Event: Ends, End: &End{Status: status(124), Reason: "limit", Limit: "time"}},
		"belljar: box was killed":                {Event: Ends, End: &End{Reason: "killed"}},
	} {
		n.Sandbox = "box"
		if n.complete(); n.Text != want {
			t.Errorf("%q, want %q", n.Text, want)
		}
	}
	bad := Note{Event: Waits, Sandbox: "box", Question: &Question{ID: "3", Program: Program("/x/\x1b]52;c;aGk=\a\u202e<b>&" + strings.Repeat("y", 10_000)), Host: "\n\n", Method: "\x00"}}
	bad.complete()
	if len(bad.Text) > 600 || strings.ContainsAny(bad.Text, "\x1b\a\n\x00\u202e") {
		t.Errorf("%d bytes: %q", len(bad.Text), bad.Text)
	}
	if got := markup(bad.detail()); strings.ContainsAny(got, "<>") {
		t.Errorf("%q", got)
	}
}

// FuzzNote: nothing that can stand on a line of the pipe makes a note that is no line of text.
func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"event":"waits","sandbox":"\u001b","question":{"id":"3","host":"h"},"more":-5}`))
	f.Add([]byte(`{"event":"end"}`))
	f.Add([]byte(`{"event":"waits"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n Note
		if json.Unmarshal(b, &n) != nil {
			return
		}
		n.complete()
		for _, r := range n.Text + n.summary() + n.detail() {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Fatalf("%q", n.Text)
			}
		}
		if len(n.Text) > 1500 {
			t.Fatalf("%d bytes", len(n.Text))
		}
	})
}

// A receiver is a webhook.
type receiver struct {
	mu     sync.Mutex
	bodies []Note
	header http.Header
	status []int // of the next answers; then 204
	where  string
	took   chan struct{}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.status) > 0 {
		s := r.status[0]
		r.status = r.status[1:]
		w.Header().Set("Location", r.where)
		w.WriteHeader(s)
		return
	}
	var n Note
	_ = json.Unmarshal(b, &n)
	r.bodies, r.header = append(r.bodies, n), q.Header
	w.WriteHeader(http.StatusNoContent)
	r.took <- struct{}{}
}

func newReceiver(t *testing.T, status ...int) (*receiver, string) {
	r := &receiver{status: status, took: make(chan struct{}, 99)}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s.URL
}

func headersOf(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "h")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWebhook: by real processes, through a receiver that is away at first.
func TestWebhook(t *testing.T) {
	testenv.Need(t, "user")
	r, url := newReceiver(t, 503, 429)
	var said []string
	s, err := Start(os.Environ(), Options{Webhook: Webhook{URL: url, Headers: headersOf(t, "Authorization: key\n")}, Ends: true, Waits: true, Sandbox: "box", ID: "1", Say: func(l string) { said = append(said, l) }})
	if err != nil {
		t.Fatal(err)
	}
	s.Tell(Note{Event: Waits, Question: &Question{ID: "3", Host: "h.example", Port: 443, Method: "GET"}})
	<-r.took
	s.Tell(Note{Event: Ends, End: &End{Status: status(4), Reason: "exited"}})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Tell(Note{Event: Ends})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-r.took
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bodies) != 2 || r.bodies[0].Question == nil || r.bodies[0].Question.Host != "h.example" || r.bodies[0].Sandbox != "box" || r.bodies[0].ID != "1" ||
		r.bodies[0].Version != 1 || r.bodies[1].End == nil || *r.bodies[1].End.Status != 4 || r.bodies[1].Text != "belljar: box ended with status 4" {
		t.Errorf("%+v", r.bodies)
	}
	if r.header.Get("Authorization") != "key" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", r.header)
	}
}

// TestKilledSupervisor: a supervisor that is gone without a word is told of, one whose run
// did not start is not, and events that nobody wants neither.
func TestKilledSupervisor(t *testing.T) {
	testenv.Need(t, "user")
	for event, want := range map[string]string{"": "killed", cancel: "", Ends: "exited"} {
		r, url := newReceiver(t)
		s, err := Start(os.Environ(), Options{Webhook: Webhook{URL: url}, Ends: true, Sandbox: "box"})
		if err != nil {
			t.Fatal(err)
		}
		s.Tell(Note{Event: Waits, Question: &Question{ID: "1"}})
		if event != "" {
			s.Tell(Note{Event: event, End: &End{Status: status(0), Reason: "exited"}})
		}
		_ = s.ways[0].close()
		if want == "" {
			continue
		}
		<-r.took
		r.mu.Lock()
		if len(r.bodies) != 1 || r.bodies[0].End == nil || r.bodies[0].End.Reason != want {
			t.Errorf("%q: %+v", event, r.bodies)
		}
		r.mu.Unlock()
	}
}

// TestWebhookRefuses: what leads elsewhere is not followed, what refuses is not asked again,
// who never answers is given up, and no error has the address.
func TestWebhookRefuses(t *testing.T) {
	other, otherURL := newReceiver(t)
	for code, want := range map[int]string{302: "leads elsewhere", 307: "leads elsewhere", 401: "401", 404: "404"} {
		r, url := newReceiver(t, code)
		r.where = otherURL
		err := newHook(Webhook{URL: url + "/SECRET"}).tell(t.Context(), Note{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") || len(r.bodies) > 0 {
			t.Errorf("%d: %v %+v", code, err, r.bodies)
		}
	}
	if len(other.bodies) > 0 {
		t.Error("it followed")
	}
	h := newHook(Webhook{URL: "http://127.0.0.1:1/SECRET"})
	if after, err := h.post(t.Context(), nil); after != 0 || err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v %v", after, err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }))
	defer slow.Close()
	h = newHook(Webhook{URL: slow.URL})
	h.client.Timeout = 50 * time.Millisecond
	if after, err := h.post(t.Context(), nil); after != 0 || err == nil {
		t.Errorf("%v %v", after, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := h.tell(ctx, Note{}); err == nil {
		t.Error("it was told in no time")
	}
}

// A server shows notifications on a bus of the test.
type server struct {
	abilities []string
	shown     chan []string
}

func (s *server) GetCapabilities() ([]string, *dbus.Error) { return s.abilities, nil }

func (s *server) Notify(app string, _ uint32, _, summary, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	s.shown <- []string{app, summary, body}
	return 1, nil
}

// newBus starts a bus of the user's and returns its address.
func newBus(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "dbus-daemon")
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+dir+`/s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "dbus-daemon", "--config-file="+config, "--nofork", "--print-address=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	buf := make([]byte, 512)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(buf[:n]))
}

// serve shows notifications on the bus at address.
func (s *server) serve(t *testing.T, address string) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(s, object, service); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(service, 0); err != nil {
		t.Fatal(err)
	}
}

// TestDesktop: by a real bus and a real, confined notifier; what comes from inside is no
// markup where the server takes markup.
func TestDesktop(t *testing.T) {
	testenv.Need(t, "user")
	for ability, want := range map[string]string{"body": "to run <b>&x (belljar approve box 3)", "body-markup": "to run &lt;b&gt;&amp;x (belljar approve box 3)"} {
		address := newBus(t)
		srv := &server{abilities: []string{"body", ability}, shown: make(chan []string, 9)}
		srv.serve(t, address)
		env := []string{"DBUS_SESSION_BUS_ADDRESS=" + address}
		s, err := Start(env, Options{Desktop: true, Ends: true, Waits: true, Sandbox: "box"})
		if err != nil {
			t.Fatal(err)
		}
		s.Tell(Note{Event: Waits, Question: &Question{ID: "3", Program: "<b>&x"}})
		if got := <-srv.shown; got[0] != "belljar" || got[1] != "belljar: box waits for you" || got[2] != want {
			t.Errorf("%q", got)
		}
		s.Tell(Note{Event: Ends, End: &End{Status: status(0)}})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := <-srv.shown; got[1] != "belljar: box is done" || got[2] != "" {
			t.Errorf("%q", got)
		}
	}
}

// TestNoDesktop: who cannot be told is said.
func TestNoDesktop(t *testing.T) {
	testenv.Need(t, "user")
	mute, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for address, want := range map[string]string{"unix:path=" + mute.Addr().String(): "the session's bus does not", "unix:path=/nonexistent": "there is no session of a desktop", newBus(t): "nobody in the session shows notifications"} {
		said := make(chan string, 9)
		s, err := Start([]string{"DBUS_SESSION_BUS_ADDRESS=" + address}, Options{Desktop: true, Ends: true, Sandbox: "box", Say: func(l string) { said <- l }})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-said; !strings.HasPrefix(got, "belljar: notify.desktop: ") || !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
