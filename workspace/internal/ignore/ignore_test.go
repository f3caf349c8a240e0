package ignore

import "testing"

func FuzzIgnore(f *testing.F) {
	f.Add("*.o\n!a/**/b\n", "a/b/c.o")
	f.Add("[[:digit:]a-\\]]\n[!]", "1")
	f.Fuzz(func(_ *testing.T, text, rel string) { File(Parse("", text), rel) })
}
