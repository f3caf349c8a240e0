package otlp

import (
	"crypto/sha256"
	"encoding/binary"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
)

// maxRaw bounds a line of the record that is sent along whole.
const maxRaw = 64 << 10

// maxText bounds any other text.
const maxText = 16 << 10

func str(k, v string) *common.KeyValue {
	v = clip(v)
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
}

// clip is the beginning of s, in valid UTF-8, as protobuf wants its strings.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "\ufffd") }

func num(k string, v int64) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v}}}
}

// attributes collects what is known.
type attributes []*common.KeyValue

func (a *attributes) str(k, v string) {
	if v != "" {
		*a = append(*a, str(k, v))
	}
}

func (a *attributes) num(k string, v int64) {
	if v != 0 {
		*a = append(*a, num(k, v))
	}
}

// traceID is the trace of a record.
func traceID(id string) []byte {
	h := sha256.Sum256([]byte("belljar trace " + id))
	return h[:16]
}

// spanID is the span that an event of a record begins.
func spanID(id string, seq uint64) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("belljar span "+id+" "), seq))
	return h[:8]
}

// resourceOf describes a run.
func resourceOf(s *belljar.StartEvent) *resource.Resource {
	a := attributes{str("service.name", "belljar")}
	a.str("service.version", s.Version)
	a.str("service.instance.id", s.ID)
	a.str("host.name", s.Host)
	a.str("belljar.sandbox.id", s.ID)
	a.str("belljar.sandbox.name", s.Name)
	a.str("belljar.workspace", s.Workspace)
	a.str("belljar.tier", s.Tier)
	a.str("belljar.policy.sha256", s.Policy)
	return &resource.Resource{Attributes: a}
}

func nanos(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

// record is e as a log record.
func record(id string, e *event.Entry) *logs.LogRecord {
	c := classOf(&e.Event)
	a := attributes{
		str("log.record.uid", id+"-"+strconv.FormatUint(e.Seq, 10)),
		num("belljar.seq", int64(e.Seq)), str("belljar.kind", string(e.Kind)), str("belljar.hash", e.Hash), str("belljar.prev", e.Prev),
		num("category_uid", int64(c.uid/1000)), num("class_uid", int64(c.uid)), str("class_name", c.name),
		num("activity_id", int64(c.activity)), str("activity_name", c.did), num("type_uid", int64(c.uid*100+c.activity)),
		num("severity_id", int64(c.severity)), num("status_id", int64(c.status)),
	}
	a = append(a, details(&e.Event)...)
	if len(e.Raw) <= maxRaw {
		a = append(a, &common.KeyValue{Key: "raw_data", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(string(e.Raw), "\ufffd")}}})
	}
	r := &logs.LogRecord{
		TimeUnixNano: nanos(e.Time), ObservedTimeUnixNano: nanos(e.Time), SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO",
		Body:       &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: clip(event.Line(e))}},
		Attributes: a, EventName: "belljar." + clip(string(e.Kind)), TraceId: traceID(id), SpanId: spanID(id, 0),
	}
	if c.severity >= severityMedium {
		r.SeverityNumber, r.SeverityText = logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	return r
}

// details are the attributes of one kind, named as in OCSF where that has a name.
func details(e *belljar.Event) attributes {
	var a attributes
	switch {
	case e.Start != nil:
		a.str("process.cmd_line", event.Command(e.Start.Argv))
		a.str("actor.user.uid", strconv.Itoa(e.Start.UID)) // text there
		a.str("belljar.binary.sha256", e.Start.Binary)
	case e.Exec != nil:
		execDetails(&a, e.Exec)
	case e.Exit != nil:
		a = append(a, num("process.pid", int64(e.Exit.PID)), num("exit_code", int64(e.Exit.Status.Status())))
	case e.Net != nil:
		netDetails(&a, e.Net)
		if refusedName(e) {
			a.str("query.hostname", e.Net.Host)
		}
	case e.Ask != nil:
		a.str("api.request.uid", e.Ask.ID)
		a.str("dst_endpoint.hostname", e.Ask.Host)
		a.num("dst_endpoint.port", int64(e.Ask.Port))
		a.str("http_request.http_method", e.Ask.Method)
		a.str("http_request.url.path", e.Ask.Path)
		a.str("process.cmd_line", e.Ask.Command)
		a.str("message", e.Ask.Note)
		a.str("belljar.answer", e.Ask.Answer)
		a.str("belljar.scope", e.Ask.Scope)
		a.str("actor.user.name", e.Ask.By)
	case e.Judge != nil:
		a.str("actor.app_name", e.Judge.Agent)
		a.str("process.cmd_line", e.Judge.Line)
		a.str("process.working_directory", e.Judge.Dir)
		a.str("belljar.verdict", e.Judge.Verdict)
		a.str("belljar.answer", e.Judge.Answer)
		a.str("status_detail", e.Judge.Reason)
		a.str("firewall_rule.name", e.Judge.Rule)
		a.str("belljar.part", e.Judge.Part)
		a.num("belljar.truncated", int64(e.Judge.Truncated))
		a.str("belljar.line.sha256", e.Judge.Digest)
	case e.File != nil:
		a.str("file.path", e.File.Path)
		a.str("file.name", path.Base(e.File.Path))
		a.str("file_result.path", e.File.To)
		a.str("belljar.verdict", e.File.Verdict)
		a.str("belljar.class", e.File.Class)
		a.str("status_detail", e.File.Reason)
	case e.Limit != nil:
		a.str("belljar.limit", e.Limit.Limit)
		a = append(a, num("belljar.limit.max", e.Limit.Max), num("belljar.limit.used", e.Limit.Used))
	case e.Sampled != nil:
		a.str("belljar.sampled.kind", string(e.Sampled.Of))
		a.num("count", e.Sampled.Count)
	case e.Terminal != nil:
		a.str("message", e.Terminal.What)
		a.num("count", e.Terminal.Count)
	case e.Segment != nil:
		a.num("belljar.segment", int64(e.Segment.Index))
	case e.End != nil:
		a.str("status_detail", string(e.End.Reason))
		a = append(a, num("exit_code", int64(e.End.Status)), num("duration", e.End.Millis))
	}
	return a
}

func execDetails(a *attributes, x *belljar.ExecEvent) {
	a.num("process.pid", int64(x.PID))
	a.num("process.parent_process.pid", int64(x.Parent))
	a.str("process.file.path", x.Path)
	a.str("process.name", path.Base(x.Path))
	a.str("process.cmd_line", event.Command(x.Argv))
	a.str("process.working_directory", x.Dir)
	a.str("status_detail", x.Refused)
}

// refusedName says whether e is a name that was refused: what OCSF has as a query.
func refusedName(e *belljar.Event) bool {
	return e.Kind == belljar.EventRefuse && e.Net != nil && e.Net.Proto == "dns" && e.Net.Method == ""
}

func netDetails(a *attributes, n *belljar.NetEvent) {
	a.str("connection_info.protocol_name", n.Proto)
	if n.Proto != "dns" { // the other end would be who is asked
		a.str("dst_endpoint.hostname", n.Host)
	}
	a.str("dst_endpoint.ip", n.Addr)
	a.num("dst_endpoint.port", int64(n.Port))
	a.num("traffic.bytes_out", n.Sent)
	a.num("traffic.bytes_in", n.Received)
	a.num("duration", n.Millis)
	a.num("count", n.Count)
	a.str("http_request.http_method", n.Method)
	a.str("http_request.url.path", n.Path)
	a.num("http_response.code", int64(n.Status))
	a.str("belljar.credential", n.Credential)
	a.str("status_detail", n.Reason)
	if o := n.Rule; o != nil {
		a.str("firewall_rule.name", o.Text)
	}
	if l := n.LLM; l != nil {
		a.str("gen_ai.request.model", l.Model)
		a.num("gen_ai.usage.input_tokens", l.Input)
		a.num("gen_ai.usage.output_tokens", l.Output)
	}
}
