package plan

import (
	"errors"
	"slices"

	"github.com/belljar-dev/belljar"
)

// required are the requirements that every plan has, in the order of tables. A
// kernel of its own and the record of every exec are what some tiers cannot give
// by their nature: they are told, and asked for by choosing another tier. Of rules for
// commands each is looked at ([maker.deny]); who opened a connection is required where a
// credential is for some programs.
var required = []belljar.Requirement{
	belljar.ReqReads, belljar.ReqWrites, belljar.ReqView, belljar.ReqNetwork, belljar.ReqProcesses, belljar.ReqSockets,
	belljar.ReqPrivileges, belljar.ReqCalls, belljar.ReqDescriptor, belljar.ReqTerminal, belljar.ReqMemory, belljar.ReqPids,
	belljar.ReqCPUs, belljar.ReqDisk, belljar.ReqFiles, belljar.ReqTime, belljar.ReqDeath,
}

// enforcement compares what the tier enforces with what the plan needs.
func (m *maker) enforcement() error {
	if !m.c.Usable {
		return &belljar.Error{Op: "use tier", ID: m.c.Tier, Kind: belljar.KindNotHere,
			Err: errors.New(orElse(m.c.Reason, "it cannot start anything on this host")), Hint: m.c.Remedy}
	}
	m.p.Enforcement = slices.Clone(m.c.Requirements)
	needs := required
	if ForPrograms(m.f.Credentials) {
		needs = append(slices.Clip(needs), belljar.ReqPrograms)
	}
	for _, r := range needs {
		i := slices.IndexFunc(m.c.Requirements, func(e belljar.Enforcement) bool { return e.Requirement == r })
		e := belljar.Enforcement{Requirement: r, Level: belljar.None, Gap: "the tier does not say that it holds this"}
		if i >= 0 {
			e = m.c.Requirements[i]
		} else {
			m.p.Enforcement = append(m.p.Enforcement, e)
		}
		if e.Level == belljar.Enforced || e.Level == belljar.Approximate || m.w.bestEffort {
			continue
		}
		return &belljar.Error{Op: "hold " + string(r) + " in tier", ID: m.c.Tier, Kind: belljar.KindRefused,
			Err: errors.New(orElse(e.Gap, "it is not enforced on this host")), Hint: remedy(e)}
	}
	return nil
}

func remedy(e belljar.Enforcement) string {
	const accept = "--best-effort runs without it"
	if e.Remedy == "" {
		return accept
	}
	return e.Remedy + "; " + accept
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
