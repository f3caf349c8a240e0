package workspace

// Select returns the changes that the arguments name, all of them without
// arguments, in the order of all. An argument that names nothing is an error.
func (p Project) Select(all []Change, args ...string) ([]Change, error) { return p.choose(all, args) }
