# Takes all that the kernel gives of what it counts for a user, says how much that was,
# into the file "said", and keeps it until its input ends.
import array, ctypes, os, resource, socket, sys

said = open("said", "w")
libc = ctypes.CDLL(None, use_errno=True)
watches = 0
while libc.inotify_init1(0) >= 0:
    watches += 1
for fd in range(said.fileno() + 1, said.fileno() + 1 + watches):
    os.close(fd)
print("inotify", watches, file=said)
for name in "MEMLOCK", "MSGQUEUE", "SIGPENDING":
    print(name, resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1], file=said)
print("io_setup", libc.syscall(206 if os.uname().machine == "x86_64" else 0, 10, ctypes.byref(ctypes.c_ulong(0))), file=said)
held, flying = [], 0
try:
    while flying < 40000:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        held.append(pair)
        for _ in range(8):
            pair[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1] * 250))])
            flying += 250
except OSError as e:
    print("flying", flying, e.strerror, file=said)
said.close()
print("ready", flush=True)
sys.stdin.read()
