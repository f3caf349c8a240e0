package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

// own says whether a name is the gateway's.
func (g *Gateway) own(host string) bool {
	if host != belljar.LLMHost {
		return host == belljar.PolicyHost
	}
	for i := range g.network.LLM {
		if g.network.LLM[i].Endpoint {
			return true
		}
	}
	return false
}

// endpoint takes a request to http://llm.belljar/API/…: it is judged as the request to
// the host of the models that it stands for. ok is false of other requests.
func (h *page) endpoint(r *http.Request) (a httpproxy.Action, ok bool) {
	t, err := parseAuthority(r.Host, 80)
	if err != nil || t.host != belljar.LLMHost || !h.g.own(t.host) {
		return a, false
	}
	api, rest, _ := strings.Cut(strings.TrimPrefix(originForm(r), "/"), "/")
	for i := range h.g.network.LLM {
		rule := &h.g.network.LLM[i]
		if !rule.Endpoint || string(rule.API) != api || strings.HasPrefix(rule.Host, "*.") {
			continue
		}
		return h.through(r, target{host: rule.Host, port: rule.Port}, "/"+rest), true
	}
	return httpproxy.Action{Reply: &httpproxy.Reply{
		Status: http.StatusNotFound, Reason: "no such endpoint", Body: "http://" + belljar.LLMHost + "/ has the APIs that the policy gives an endpoint: llm: [{…, endpoint: true}]\n",
	}}, true
}

// through judges r as a request to t for another target, as if it had been sent there.
func (h *page) through(r *http.Request, t target, uri string) httpproxy.Action {
	ctx := h.g.context()
	if d := h.g.decide(t); !d.Allow && !d.Ask {
		h.g.rec.refuse(ctx, "http", t, d)
		return httpproxy.Action{Reply: refusalReply(t, d)}
	}
	r.RequestURI, r.URL, r.Host = uri, &url.URL{}, t.host
	return (&seen{g: h.g, ctx: ctx, t: t, in: h.in, secure: t.host != belljar.Localhost}).Handle(r)
}

// modelLines say what may be asked of models, and what was spent of what.
func (g *Gateway) modelLines() (lines []string) {
	for i := range g.network.LLM {
		l := &g.network.LLM[i]
		s := l.Host + ": " + string(l.API) + ", any model"
		if len(l.Models) > 0 {
			s = l.Host + ": " + string(l.API) + ", " + strings.Join(l.Models, " ")
		}
		if !l.Fetch {
			s += "; the provider fetches nothing"
		}
		if l.Endpoint {
			s += "; also at http://" + belljar.LLMHost + "/" + string(l.API)
		}
		lines = append(lines, s)
	}
	for _, l := range g.llm.Lines() {
		lines = append(lines, "spent: "+l)
	}
	return lines
}
