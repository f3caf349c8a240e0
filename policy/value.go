package policy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/spell"
)

// The names of the limits, in the order in which tables show them.
const (
	limitMemory    = "memory"
	limitCPUs      = "cpus"
	limitProcesses = "processes"
	limitDisk      = "disk"
	limitTime      = "time"
	limitFiles     = "files"
	limitLog       = "log"
	limitTokens    = "tokens"
)

func limitNames() []string {
	return []string{limitMemory, limitCPUs, limitProcesses, limitDisk, limitTime, limitFiles, limitLog, limitTokens}
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// milli is the unit in which CPUs are compared.
const milli = 1000

// A limitKind says how one limit is written and what is sensible. Values are
// bytes, thousandths of a CPU, counts or nanoseconds.
type limitKind struct {
	preset      int64 // the default
	least, most int64
	parse       func(string) (int64, error)
	format      func(int64) string
}

func limitKindOf(name string) limitKind {
	switch name {
	case limitMemory:
		return limitKind{8 * gib, 32 * mib, 64 * tib, parseSize, formatSize}
	case limitCPUs:
		return limitKind{2 * milli, milli / 10, 1024 * milli, parseCPUs, formatCPUs}
	case limitProcesses:
		return limitKind{4096, 16, 4194304, parseCount, formatCount}
	case limitDisk:
		return limitKind{20 * gib, mib, 1024 * tib, parseSize, formatSize}
	case limitTime:
		return limitKind{int64(24 * time.Hour), int64(time.Second), int64(366 * 24 * time.Hour), parseTime, formatTime}
	case limitLog:
		return limitKind{4 * gib, 8 * mib, tib, parseSize, formatSize}
	case limitTokens:
		return limitKind{mostTokens, 1000, mostTokens, parseTokens, formatTokens}
	}
	return limitKind{65536, 64, 1048576, parseCount, formatCount}
}

// parseLimit reads a limit and checks that it is sensible.
func parseLimit(name, s string) (int64, error) {
	k := limitKindOf(name)
	v, err := k.parse(s)
	if err != nil {
		return 0, err
	}
	if v < k.least || v > k.most {
		return 0, fmt.Errorf("%s is not between %s and %s", s, k.format(k.least), k.format(k.most))
	}
	return v, nil
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	num := s
	for _, u := range []struct {
		name string
		n    int64
	}{{"KiB", kib}, {"MiB", mib}, {"GiB", gib}, {"TiB", tib}} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			num, unit = rest, u.n
		}
	}
	f, err := parseDecimal(num)
	if err != nil || unit == 1 || f*float64(unit) > math.MaxInt64/2 {
		return 0, errors.New("a size is a number with KiB, MiB, GiB or TiB, such as 8GiB")
	}
	return int64(f * float64(unit)), nil
}

// parseDecimal reads digits with at most one point: no sign, exponent, hexadecimal,
// infinity.
func parseDecimal(s string) (float64, error) {
	if s == "" || len(s) > 20 || strings.Trim(s, "0123456789.") != "" || s[0] == '.' || s[len(s)-1] == '.' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

func formatSize(n int64) string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"TiB", tib}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}} {
		if n >= u.n && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return strconv.FormatFloat(float64(n)/float64(kib), 'f', -1, 64) + "KiB"
}

func parseCPUs(s string) (int64, error) {
	f, err := parseDecimal(s)
	if err != nil || f > 1e6 {
		return 0, errors.New("cpus is a number such as 2 or 0.5")
	}
	return int64(math.Round(f * milli)), nil
}

func formatCPUs(n int64) string {
	return strconv.FormatFloat(float64(n)/milli, 'f', -1, 64)
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || s[0] == '+' {
		return 0, errors.New("a count is a whole number such as 4096")
	}
	return int64(n), nil
}

func formatCount(n int64) string { return strconv.FormatInt(n, 10) }

// parseTime reads numbers with s, m or h: no sign, no smaller units.
func parseTime(s string) (int64, error) {
	wrong := errors.New("a time is a number with s, m or h, such as 90m or 24h")
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, "smh")
		if i < 0 {
			return 0, wrong
		}
		if _, err := parseDecimal(rest[:i]); err != nil {
			return 0, wrong
		}
		rest = rest[i+1:]
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, wrong
	}
	return int64(d), nil
}

func formatTime(n int64) string {
	s := time.Duration(n).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// suggestLimit is a likely correction of a limit that could not be read.
func suggestLimit(name, s string) string {
	k := limitKindOf(name)
	trimmed := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	digits := strings.TrimRight(trimmed, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := strings.ToLower(trimmed[len(digits):])
	var guess string
	switch name {
	case limitMemory, limitDisk, limitLog:
		guess = map[string]string{"k": "KiB", "kb": "KiB", "kib": "KiB", "m": "MiB", "mb": "MiB", "mib": "MiB",
			"g": "GiB", "gb": "GiB", "gib": "GiB", "": "GiB", "t": "TiB", "tb": "TiB", "tib": "TiB"}[unit]
	case limitTime:
		guess = map[string]string{"": "h", "hours": "h", "hour": "h", "min": "m", "minutes": "m", "sec": "s"}[unit]
		if unit == "d" || unit == "day" || unit == "days" {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
				return fmt.Sprintf("write %dh", 24*n)
			}
		}
	}
	if guess != "" {
		if v, err := k.parse(digits + guess); err == nil && v >= k.least && v <= k.most {
			return "write " + digits + guess
		}
	}
	return ""
}

// registryKinds are the package managers whose settings network.registries reads.
func registryKinds() []string { return []string{"cargo", "go", "maven", "npm", "pip"} }

// modes from the tightest to the widest.
func modes() []belljar.Mode {
	return []belljar.Mode{belljar.ModeReadOnly, belljar.ModeReview, belljar.ModeWorktree, belljar.ModeLive}
}

// validEnvName says whether s can be the name of an environment variable.
func validEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// validTier says whether s can be the name of a tier.
func validTier(s string) bool {
	return s != "" && len(s) <= 31 && s[0] >= 'a' && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// nearest is the candidate that s was probably meant to be, or empty.
func nearest(s string, candidates []string) string {
	best, most := "", max(1, min(3, len(s)/2))
	for _, c := range candidates {
		if strings.EqualFold(s, c) {
			return c
		}
		if d := spell.Distance(strings.ToLower(s), c, most+1); d <= most {
			best, most = c, d-1
		}
	}
	return best
}
