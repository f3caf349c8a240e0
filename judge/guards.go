package judge

// A Guard is what is judged whatever the rules say.
type Guard struct {
	Name    string
	Verdict Verdict // the strictest that it gives
	About   string
}

// Names of guards, as [Finding.Rule] shows them.
const (
	guardShape   = "guard:shape"
	guardDynamic = "guard:dynamic"
	guardSecret  = "guard:secret"
	guardControl = "guard:control"
	guardOutside = "guard:outside"
	guardDelete  = "guard:delete"
	guardDevice  = "guard:device"
	guardEnv     = "guard:environment"
	guardNet     = "guard:network-code"
	guardSocket  = "guard:raw-network"
	guardForce   = "guard:force-push"
	guardSetuid  = "guard:setuid"
	guardOption  = "guard:option"
	guardProgram = "guard:program"
	guardRepo    = "guard:repository"
)

// Guards lists them, as docs/judge.md does.
func Guards() []Guard {
	return []Guard{
		{guardShape, Deny, "A line that cannot be read: NUL and carriage return are denied; a syntax error, and a line that is too long or too deep, are asked."},
		{guardDynamic, Ask, "A command, script or expression whose text is computed while the line runs."},
		{guardSecret, Deny, "A secret is read: ~/.ssh, ~/.aws, .env and their like; asked where the path is only partly known, or the file often holds a secret."},
		{guardControl, Deny, "A file is written that decides what runs later: shell start-up files, git hooks and configuration, settings of agents and editors, /etc."},
		{guardOutside, Ask, "Something is written outside the writable folders, or used from outside the project."},
		{guardDelete, Deny, "Recursive removal outside the writable folders; other removal outside is asked."},
		{guardDevice, Deny, "A raw device is written; asked where it is read."},
		{guardEnv, Deny, "A variable that loads code into other programs (LD_PRELOAD, BASH_ENV, GIT_SSH_COMMAND); asked for those that re-route or re-configure (PATH, HTTP_PROXY)."},
		{guardNet, Deny, "What came from the network is run by a shell or an interpreter."},
		{guardSocket, Deny, "A connection by /dev/tcp or /dev/udp."},
		{guardForce, Deny, "A push that rewrites or deletes: --force, --mirror, --delete, +ref, :ref."},
		{guardSetuid, Deny, "A program gets the rights of its owner."},
		{guardOption, Ask, "An option that runs a program or changes what a program is, or one that the table does not know."},
		{guardProgram, Ask, "A program that is named by a path outside the trusted folders."},
		{guardRepo, Ask, "git works on a repository outside the project, whose configuration and hooks it obeys."},
	}
}
