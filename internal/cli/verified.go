package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/evidence"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/verify"
)

// verifiedDir is below the state folder: the last whole result of belljar verify for each tier.
const (
	verifiedDir = "verified"
	maxVerified = 4 << 20
)

// keepVerified keeps a result for belljar evidence.
func keepVerified(state string, r *verify.Report) error {
	var report bytes.Buffer
	if err := r.WriteJSON(&report); err != nil {
		return err
	}
	b, err := json.Marshal(evidence.Verified{
		Tier: r.Tier, At: time.Now().UTC(), Version: belljar.Version, Binary: sandbox.ProgramHash(state), Kernel: thisHost().Kernel,
		Passed: r.Passed, Failed: r.Failed, Report: report.Bytes(),
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(state, verifiedDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, filepath.Base(r.Tier)+".json"))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// readVerified is what was kept, the newest last.
func readVerified(state string) ([]evidence.Verified, error) {
	files, err := filepath.Glob(filepath.Join(state, verifiedDir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []evidence.Verified
	for _, path := range files {
		fi, err := os.Lstat(path)
		switch {
		case err != nil:
			return nil, err
		case !fi.Mode().IsRegular() || fi.Size() > maxVerified:
			return nil, errors.New("it is no result of belljar verify")
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var v evidence.Verified
		if err := json.Unmarshal(b, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b evidence.Verified) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Tier, b.Tier)) })
	return all, nil
}
