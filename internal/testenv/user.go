package testenv

import "os"

// LeftToUser says that root runs the tests, and that whoever started them runs them
// again as an ordinary user: BELLJAR_USER_RUN=follows, as continuous integration
// sets it. A suite that tests the same for both (it never runs as root in
// production, or has nothing to do with belljar's identity) is then left to that
// run. Without the variable root's run has everything in it.
func LeftToUser() bool {
	return os.Geteuid() == 0 && os.Getenv("BELLJAR_USER_RUN") == "follows"
}
