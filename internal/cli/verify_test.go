package cli

import (
	"reflect"
	"testing"

	"github.com/belljar-dev/belljar/verify"
	"github.com/spf13/cobra"
)

// TestVerifyIsRun: what verify starts has the flags of run, and from there on goes
// the way of run: the same prepare, the same options, the same sandbox.Run.
func TestVerifyIsRun(t *testing.T) {
	j := verify.Job{
		Tier: "some", PolicyFile: "/p.yaml", Allow: []string{"a.test:80", "b.test:443"}, Credential: []string{"A=a.test"}, Mode: "review",
		Memory: "1GiB", Processes: "100", Disk: "2GiB", Time: "3s",
	}
	var want planFlags
	c := &cobra.Command{}
	want.add(c)
	err := c.ParseFlags([]string{
		"--tier", "some", "--policy", "/p.yaml", "--allow", "a.test:80", "--allow", "b.test:443", "--credential", "A=a.test", "--mode", "review",
		"--memory", "1GiB", "--processes", "100", "--disk", "2GiB", "--time", "3s",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := launcher{}.planFlags(&j)
	v, w := reflect.ValueOf(*got), reflect.ValueOf(want)
	for i := range v.NumField() {
		a, b := v.Field(i), w.Field(i)
		if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(got.Flags, want.Flags) || v.Type().Field(i).Name != "Flags" && !a.Equal(b) {
			t.Errorf("%s: %+v, want %+v", v.Type().Field(i).Name, got, want)
		}
	}
}
