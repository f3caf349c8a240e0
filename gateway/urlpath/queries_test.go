package urlpath

import "testing"

func TestQueries(t *testing.T) {
	for raw, want := range map[string]bool{
		"/s": false, "/s?q=1;r": false, "/s%26q=no": false, "/a=b,c": false, "/100%25": false,
		"/s;q=no": true, "/s%3Fq=no": true, "/s%3fq": true, "/s%3Bq=no": true, "/s%253Fq": true, "/s%25253Bq": true, "/s%2525253Fq": true, "/s%252525253Fq": true,
	} {
		p, err := Parse(raw)
		if err != nil || p.Queries() != want {
			t.Errorf("%s: %v %v", raw, p.Queries(), err)
		}
	}
}
