package otlp

import (
	"github.com/belljar-dev/belljar"
)

// A class is what OCSF (1.9) calls an event of ours. docs/otlp.md has the table; a test compares.
type class struct {
	uid      int
	name     string
	activity int
	did      string
	severity int
	status   int
}

// Severities and statuses of OCSF.
const (
	severityInfo   = 1
	severityMedium = 3
	statusUnknown  = 0
	statusSuccess  = 1
	statusFailure  = 2
)

// An act is a class with an activity.
type act struct {
	class    int
	name     string
	activity int
	did      string
}

var acts = map[belljar.EventKind]act{
	belljar.EventStart:    {6002, "Application Lifecycle", 3, "Start"},
	belljar.EventPlan:     {6002, "Application Lifecycle", 99, "Other"},
	belljar.EventTake:     {6002, "Application Lifecycle", 99, "Other"},
	belljar.EventExec:     {1007, "Process Activity", 1, "Launch"},
	belljar.EventExit:     {1007, "Process Activity", 2, "Terminate"},
	belljar.EventConnect:  {4001, "Network Activity", 2, "Close"},
	belljar.EventRequest:  {4002, "HTTP Activity", 99, "Other"},
	belljar.EventRefuse:   {4001, "Network Activity", 5, "Refuse"},
	belljar.EventAsk:      {6003, "API Activity", 1, "Create"},
	belljar.EventAnswer:   {6003, "API Activity", 3, "Update"},
	belljar.EventJudge:    {6003, "API Activity", 99, "Other"},
	belljar.EventFile:     {1001, "File System Activity", 99, "Other"},
	belljar.EventLimit:    {6008, "Application Error", 1, "General Error"},
	belljar.EventPublish:  {4001, "Network Activity", 7, "Listen"},
	belljar.EventTerminal: {2004, "Detection Finding", 1, "Create"},
	belljar.EventSampled:  {6008, "Application Error", 99, "Other"},
	belljar.EventSegment:  {6002, "Application Lifecycle", 99, "Other"},
	belljar.EventEnd:      {6002, "Application Lifecycle", 4, "Stop"},
}

// methods are the activities of the class HTTP Activity.
var methods = map[string]act{
	"CONNECT": {activity: 1, did: "Connect"}, "DELETE": {activity: 2, did: "Delete"}, "GET": {activity: 3, did: "Get"}, "HEAD": {activity: 4, did: "Head"},
	"OPTIONS": {activity: 5, did: "Options"}, "POST": {activity: 6, did: "Post"}, "PUT": {activity: 7, did: "Put"}, "TRACE": {activity: 8, did: "Trace"}, "PATCH": {activity: 9, did: "Patch"},
}

// operations are the activities of the class File System Activity.
var operations = map[string]act{
	"create": {activity: 1, did: "Create"}, "mkdir": {activity: 1, did: "Create"}, "link": {activity: 1, did: "Create"}, "symlink": {activity: 1, did: "Create"},
	"write": {activity: 3, did: "Update"}, "remove": {activity: 4, did: "Delete"}, "rename": {activity: 5, did: "Rename"}, "chmod": {activity: 7, did: "Set Security"},
}

func classOf(e *belljar.Event) class {
	k, ok := acts[e.Kind]
	if !ok { // of a later version
		return class{0, "Base Event", 99, "Other", severityInfo, statusUnknown}
	}
	c := class{k.class, k.name, k.activity, k.did, severityInfo, statusSuccess}
	switch {
	case e.Kind == belljar.EventRequest && e.Net != nil, e.Kind == belljar.EventRefuse && e.Net != nil && e.Net.Method != "":
		c.uid, c.name = 4002, "HTTP Activity"
		c.activity, c.did = 99, "Other"
		if m, ok := methods[e.Net.Method]; ok {
			c.activity, c.did = m.activity, m.did
		}
	case refusedName(e):
		c.uid, c.name, c.activity, c.did = 4003, "DNS Activity", 1, "Query"
	case e.File != nil:
		if o, ok := operations[e.File.Op]; ok {
			c.activity, c.did = o.activity, o.did
		}
	}
	if failed(e) {
		c.status = statusFailure
	}
	switch e.Kind {
	case belljar.EventRefuse, belljar.EventLimit, belljar.EventTerminal, belljar.EventSampled:
		c.severity = severityMedium
	case belljar.EventExec, belljar.EventJudge:
		if c.status == statusFailure {
			c.severity = severityMedium
		}
	}
	return c
}

// failed says whether what e tells of did not happen, or not well.
func failed(e *belljar.Event) bool {
	switch {
	case e.Kind == belljar.EventRefuse, e.Kind == belljar.EventLimit:
		return true
	case e.Exec != nil:
		return e.Exec.Refused != ""
	case e.Exit != nil:
		return e.Exit.Status.Status() != 0
	case e.Net != nil:
		return e.Net.Reason != ""
	case e.Judge != nil:
		return e.Judge.Answer != "allowed"
	case e.File != nil:
		return e.File.Verdict == "deny"
	case e.End != nil:
		return e.End.Status != 0
	}
	return false
}
