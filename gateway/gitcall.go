package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/git"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/urlpath"
)

const (
	// gitMemory is what the pushes under way may hold together.
	gitMemory = 32 << 20
	// What a compressed body may come to: git compresses what it asks for only.
	maxFetchText, maxPushText = 64 << 20, 16 << 20
	// maxDrained is how much of a refused push is read before it is answered: git reads
	// no answer before it has sent everything.
	maxDrained = 256 << 20
	maxBatch   = 1 << 20 // a body of git-lfs
)

// A gitCall is an allowed request of git's whose body remains to be judged.
type gitCall struct {
	*exchange
	service  belljar.GitService
	repo     string
	patterns []string // of references that may be pushed
	rule     *belljar.NetRule
	v2       bool
	zipped   bool
}

// git judges what the policy's decision d leaves open of a request of git's: the query,
// the headers, whether there is a rule for pushes. The call is nil where nothing
// remains to be judged; no has a reason when the request is refused.
func (h *seen) git(r *http.Request, path urlpath.Target, d *belljar.Decision) (call *gitCall, no belljar.Decision) {
	n := h.g.network
	confines := n.ConfinesPushes(h.t.host, h.t.port)
	repo, service, ok := belljar.ParseGitPath(h.t.host, path.Path)
	if !ok || d.Rule.Git == nil && !confines {
		return nil, no
	}
	refuse := func(reason string) (*gitCall, belljar.Decision) {
		return nil, belljar.Decision{Nearest: d.Rule, Reason: h.t.name() + repo + ": " + reason}
	}
	c := &gitCall{service: service, repo: repo}
	for _, rule := range n.GitRules(h.t.host, h.t.port, repo) {
		if len(rule.Git.Push) > 0 && c.rule == nil {
			c.rule = rule
		}
		c.patterns = append(c.patterns, rule.Git.Push...)
	}
	if asksToPush(service, path.Query) {
		if c.rule == nil {
			_, no = refuse("the policy allows no push to this repository")
			ask := h.t.request()
			no.Fix = ask.PushFix(repo, "refs/heads/agent/*")
			return nil, no
		}
		d.Rule = c.rule
	}
	if d.Rule.Git == nil && service != belljar.GitLFSBatch {
		return nil, no // another rule allows it, whatever it asks for
	}
	if c.rule == nil {
		c.rule = d.Rule
	}
	if err := git.CheckProtocol(r.Header["Git-Protocol"]); err != nil {
		return refuse(err.Error())
	}
	c.v2 = r.Header.Get("Git-Protocol") == "version=2"
	switch service {
	case belljar.GitRefs:
		if _, err := git.RefsFor(path.Query); err != nil {
			return refuse(err.Error())
		}
		return nil, no
	case belljar.GitLFSObject:
		return nil, no
	}
	if reason := c.heads(r, path); reason != "" {
		return refuse(reason)
	}
	return c, no
}

// asksToPush says whether a request is a push or asks for the references for one, in
// any spelling that a server may read.
func asksToPush(service belljar.GitService, query string) bool {
	if service != belljar.GitRefs {
		return service == belljar.GitPush
	}
	if q, err := url.QueryUnescape(query); err == nil {
		query = q
	}
	return strings.Contains(strings.ToLower(query), "receive-pack")
}

// heads says what is wrong with the head of a request that has a body.
func (c *gitCall) heads(r *http.Request, path urlpath.Target) string {
	if path.HasQuery {
		return "git sends no query with a " + string(c.service)
	}
	switch enc := r.Header["Content-Encoding"]; {
	case len(enc) == 0:
	case len(enc) == 1 && (enc[0] == "gzip" || enc[0] == "x-gzip") && c.service != belljar.GitLFSBatch:
		c.zipped = true
	default:
		return "a body in another encoding than gzip"
	}
	if c.service == belljar.GitLFSBatch {
		return ""
	}
	if want := "application/x-" + string(c.service) + "-request"; !slices.Equal(r.Header["Content-Type"], []string{want}) {
		return "the body is no " + want
	}
	return ""
}

// RoundTrip implements [http.RoundTripper]: it judges the body's head and sends the
// request, or answers it in words that git prints.
func (c *gitCall) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return c.answer(r, nil, c.no("a request of git's without its body"))
	}
	if c.service == belljar.GitLFSBatch {
		return c.batch(r)
	}
	var in io.Reader = r.Body
	if c.zipped {
		most := int64(maxPushText)
		if c.service == belljar.GitFetch {
			most = maxFetchText
		}
		in = &unzipped{src: r.Body, left: most}
		r.Header.Del("Content-Encoding") // what was judged is what is sent
		r.ContentLength = -1
	}
	br := bufio.NewReader(in)
	if c.service == belljar.GitPush {
		return c.push(r, br)
	}
	head, err := git.ReadFetch(br, c.v2)
	if err != nil {
		return c.answer(r, nil, c.no(err.Error()))
	}
	return c.send(r, &gitBody{Reader: io.MultiReader(bytes.NewReader(head), br), closer: r.Body})
}

func (c *gitCall) no(reason string) belljar.Decision {
	return belljar.Decision{Nearest: c.rule, Reason: c.t.name() + c.repo + ": " + printable(reason)}
}

func (c *gitCall) send(r *http.Request, body *gitBody) (*http.Response, error) {
	out := r.WithContext(r.Context())
	out.Body = body
	return c.exchange.RoundTrip(out)
}

// push judges the commands of a push, and follows its pack.
func (c *gitCall) push(r *http.Request, br *bufio.Reader) (*http.Response, error) {
	p, head, err := git.ReadPush(br, c.g.git)
	if err != nil {
		p.Close()
		return c.answer(r, p, c.no(err.Error()))
	}
	if no := p.Judge(c.patterns); no != nil {
		defer p.Close()
		d := c.no(no[0].Ref + ": " + no[0].Why)
		if no[0].Place {
			ask := c.t.request()
			d.Fix = ask.PushFix(c.repo, no[0].Ref)
		}
		return c.answer(r, p, d, no...)
	}
	if n := r.ContentLength; 0 < n && n <= git.MaxHead {
		return c.small(r, p, head, br)
	}
	// Where a body of a known length breaks off some servers wait for the rest: its end is
	// told by its last chunk.
	r.ContentLength = -1
	body := &gitBody{Reader: io.MultiReader(bytes.NewReader(head), p.Pack(r.Context(), br)), closer: r.Body, ended: p.Close}
	body.failed = func() {
		if no := p.Refused(); no != nil {
			c.tell(c.no(no.Why))
		}
	}
	resp, err := c.send(r, body)
	// A refused pack reads no more, also where the server has answered or gone meanwhile:
	// what is left of the client's body is for words to read.
	if no := p.Refused(); err != nil && no != nil {
		return c.words(r, p, c.no(no.Why), no.Refusals)
	}
	return resp, err
}

// small sends a push whose pack is read to its end before, so that nothing is sent of
// one that is refused.
func (c *gitCall) small(r *http.Request, p *git.Push, head []byte, br *bufio.Reader) (*http.Response, error) {
	b, err := p.Whole(r.Context(), head, br)
	if err != nil {
		defer p.Close()
		if no := p.Refused(); no != nil {
			return c.answer(r, p, c.no(no.Why), no.Refusals...)
		}
		return c.answer(r, p, c.no(err.Error()))
	}
	r.ContentLength = int64(len(b))
	return c.send(r, &gitBody{Reader: bytes.NewReader(b), closer: r.Body, ended: p.Close})
}

// batch judges a request of git-lfs.
func (c *gitCall) batch(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBatch+1))
	if err == nil && len(b) > maxBatch {
		err = errors.New("a request of git-lfs that is too large")
	}
	if err == nil {
		err = git.CheckLFS(b)
	}
	if err != nil {
		return c.answer(r, nil, c.no(err.Error()))
	}
	return c.send(r, &gitBody{Reader: bytes.NewReader(b), closer: r.Body})
}

// answer refuses a request of which nothing was sent.
func (c *gitCall) answer(r *http.Request, p *git.Push, d belljar.Decision, no ...git.Refusal) (*http.Response, error) {
	c.once.Do(func() {
		c.tell(d)
		if c.leave != nil {
			c.leave()
		}
	})
	return c.words(r, p, d, no)
}

// tell puts a refusal on record.
func (c *gitCall) tell(d belljar.Decision) {
	c.mu.Lock()
	e := c.event
	c.mu.Unlock()
	c.g.rec.refuseRequest(c.ctx, e.Proto, c.t, d, belljar.NetEvent{Method: e.Method, Path: e.Path})
}

// words is the answer to a refused request, in the form that git prints.
func (c *gitCall) words(r *http.Request, p *git.Push, d belljar.Decision, no []git.Refusal) (*http.Response, error) {
	lines := []string{"belljar: " + d.Reason}
	if d.Fix != "" {
		lines = append(lines, "belljar: to allow it: "+d.Fix)
	}
	status, kind := http.StatusOK, "application/x-"+string(c.service)+"-result"
	var body []byte
	switch c.service {
	case belljar.GitPush:
		if p != nil {
			body, _ = p.Report(no, lines...)
		}
	case belljar.GitFetch:
		body = git.FetchError(lines[0])
	case belljar.GitLFSBatch:
		status, kind = http.StatusForbidden, "application/vnd.git-lfs+json"
		body, _ = json.Marshal(map[string]string{"message": lines[0]})
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxDrained))
	}
	if body == nil {
		return nil, &replyError{&httpproxy.Reply{
			Status: http.StatusForbidden, Reason: clip(d.Reason), Body: requestText(c.t, r.Method, c.event.Path, d, ""),
		}}
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {kind}, "Cache-Control": {"no-store"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// gitBody is what is sent on of a body, and what is to be done when that ends.
type gitBody struct {
	io.Reader
	closer io.Closer
	failed func() // told of an error, once; may be nil
	ended  func() // may be nil
	once   sync.Once
}

func (b *gitBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.failed != nil {
		b.failed()
		b.failed = nil
	}
	return n, err
}

func (b *gitBody) Close() error {
	b.once.Do(func() {
		if b.ended != nil {
			b.ended()
		}
	})
	return b.closer.Close()
}

// unzipped is the text of a compressed body, up to a size.
type unzipped struct {
	src  io.Reader
	zip  *gzip.Reader
	left int64
}

var errInflated = errors.New("a compressed body that is too large")

func (u *unzipped) Read(b []byte) (int, error) {
	if u.zip == nil {
		z, err := gzip.NewReader(u.src)
		if err != nil {
			return 0, errors.New("a body that is not compressed as it says")
		}
		u.zip = z
	}
	n, err := u.zip.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, errInflated
	}
	return n, err
}
