package calls

import "github.com/belljar-dev/belljar/internal/seccomp"

// deniedHere are calls that this architecture alone has.
var deniedHere []uint32

// attributesHere are further ones of attributes.
var attributesHere []uint32

// modesHere and here are steps about calls that this architecture alone has.
func modesHere(*seccomp.Program, []uint32) {}

func here(*seccomp.Program, []uint32) {}
