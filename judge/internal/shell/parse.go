package shell

import (
	"fmt"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

var parsers = sync.Pool{New: func() any { return syntax.NewParser(syntax.Variant(syntax.LangBash)) }}

// Parse checks and parses a line. It never panics.
func Parse(line string) (file *syntax.File, err error) {
	if err := Check(line); err != nil {
		return nil, err
	}
	p := parsers.Get().(*syntax.Parser)
	defer func() {
		if e := recover(); e != nil { // a library that meets hostile bytes
			file, err = nil, fmt.Errorf("parse: the parser gave up")
			return
		}
		parsers.Put(p)
	}()
	file, err = p.Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return file, nil
}
