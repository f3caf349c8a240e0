package calls

// deniedHere are calls that this architecture alone has.
var deniedHere []uint32
