package jail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The addresses of the sandbox's network, which are those of package belljar. They
// are written down again because that package imports net/netip, for which a process
// waits until most of the program is initialised; a test compares them.
var (
	guestIPv4   = [4]byte{198, 18, 0, 2}
	gatewayIPv4 = [4]byte{198, 18, 0, 1}
	guestIPv6   = [16]byte{0xfd, 0xbe, 0x11, 0x7a, 0, 5, 15: 2}
	gatewayIPv6 = [16]byte{0xfd, 0xbe, 0x11, 0x7a, 0, 5, 15: 1}
)

const (
	bitsIPv4 = 15
	bitsIPv6 = 64
)

// makeLink makes the sandbox's only network interface beside the loopback and
// returns its other end: packets are read from and written to it, each behind header.
func makeLink() (end *os.File, header []byte, err error) {
	n, err := dialNetlink()
	if err != nil {
		return nil, nil, err
	}
	defer n.close()
	end, err = makeTUN()
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		end, header, err = makePair()
	}
	if err != nil {
		return nil, nil, err
	}
	if err := n.configure(); err != nil {
		end.Close()
		return nil, nil, err
	}
	return end, header, nil
}

// An ifreq is struct ifreq: a name and a union.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func newIfreq(name string) *ifreq {
	r := &ifreq{}
	copy(r.name[:], name)
	return r
}

func (r *ifreq) ioctl(fd int, cmd uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), cmd, uintptr(unsafe.Pointer(r)))
	if errno != 0 {
		return errno
	}
	return nil
}

// makeTUN makes the interface as a TUN device, where this user may open it.
func makeTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	r := newIfreq(Interface)
	binary.NativeEndian.PutUint16(r.data[:], unix.IFF_TUN|unix.IFF_NO_PI)
	if err := r.ioctl(fd, unix.TUNSETIFF); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	// The device then goes with its namespace, and closing it makes nobody wait.
	_ = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	return os.NewFile(uintptr(fd), "tun"), nil
}

// Addresses of the pair's ends: they are seen by nobody else.
var (
	innerMAC = [6]byte{2, 0, 0, 0, 0, 2}
	outerMAC = [6]byte{2, 0, 0, 0, 0, 1}
)

// makePair makes the interface as one end of a pair of Ethernet devices. The other
// one lies in a namespace of its own, where nothing but a packet socket is.
func makePair() (*os.File, []byte, error) {
	inside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, nil, err
	}
	defer inside.Close()
	type answer struct {
		f   *os.File
		err error
	}
	done := make(chan answer)
	go func() {
		runtime.LockOSThread() // for good: the thread ends, and its namespace is the socket's alone
		f, err := outerEnd(inside)
		done <- answer{f, err}
	}()
	a := <-done
	if a.err != nil {
		return nil, nil, fmt.Errorf("make a pair of network devices (/dev/net/tun cannot be used): %w", a.err)
	}
	if err := plain(Interface); err != nil {
		a.f.Close()
		return nil, nil, err
	}
	return a.f, append(append(innerMAC[:6:6], outerMAC[:]...), 0, 0), nil
}

const outerName = "gateway"

// outerEnd makes the pair from a new network namespace, where its outer end stays.
func outerEnd(inside *os.File) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make its namespace: %w", err)
	}
	n, err := dialNetlink()
	if err != nil {
		return nil, err
	}
	defer n.close()
	if err := n.addPair(int(inside.Fd())); err != nil {
		return nil, fmt.Errorf("make the devices: %w", err)
	}
	if err := n.up(outerName, unix.IFF_NOARP); err != nil {
		return nil, err
	}
	r := newIfreq(outerName)
	if err := r.ioctl(n.fd, unix.SIOCGIFINDEX); err != nil {
		return nil, err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	// Without a protocol at first: bind would wait until no processor can be in the hook of a socket that had one.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the packet socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "packets")
	index := int(binary.NativeEndian.Uint32(r.data[:]))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		f.Close()
		return nil, fmt.Errorf("bind the packet socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20) // capped by the host's limit
	return f, nil
}

// plain has the kernel finish checksums and segments by itself: nobody behind a
// packet socket would.
func plain(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	r := newIfreq(name)
	*(*unsafe.Pointer)(unsafe.Pointer(&r.data)) = unsafe.Pointer(&value)
	err = r.ioctl(fd, unix.SIOCETHTOOL)
	runtime.KeepAlive(&value)
	if err != nil {
		return fmt.Errorf("switch checksum offload off: %w", err)
	}
	return nil
}

// configure gives the interface its addresses and routes, and brings the loopback up.
func (n *netlink) configure() error {
	// The sandbox asks nobody for an address.
	for _, f := range []string{"accept_ra", "autoconf", "dad_transmits"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+Interface+"/"+f, []byte("0"), 0)
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+Interface+"/addr_gen_mode", []byte("1"), 0)
	if err := n.up("lo", 0); err != nil {
		return err
	}
	r := newIfreq(Interface)
	binary.NativeEndian.PutUint32(r.data[:], MTU)
	if err := r.ioctl(n.fd, unix.SIOCSIFMTU); err != nil {
		return fmt.Errorf("set the size of packets: %w", err)
	}
	if err := n.up(Interface, unix.IFF_NOARP); err != nil {
		return err
	}
	if err := r.ioctl(n.fd, unix.SIOCGIFINDEX); err != nil {
		return err
	}
	index := binary.NativeEndian.Uint32(r.data[:])
	if err := n.addAddress(index, unix.AF_INET, guestIPv4[:], bitsIPv4); err != nil {
		return fmt.Errorf("add the address: %w", err)
	}
	if err := n.addRoute(index, unix.AF_INET, gatewayIPv4[:]); err != nil {
		return fmt.Errorf("add the route: %w", err)
	}
	// A host without IPv6 has none inside either.
	if n.addAddress(index, unix.AF_INET6, guestIPv6[:], bitsIPv6) == nil {
		if err := n.addRoute(index, unix.AF_INET6, gatewayIPv6[:]); err != nil {
			return fmt.Errorf("add the IPv6 route: %w", err)
		}
	}
	return nil
}
