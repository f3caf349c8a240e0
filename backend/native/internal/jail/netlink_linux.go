package jail

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A netlink configures the network of the namespace in which it was opened.
type netlink struct {
	route int // NETLINK_ROUTE
	fd    int // any socket, for ioctls
	seq   uint32
}

func dialNetlink() (*netlink, error) {
	route, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		unix.Close(route)
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	return &netlink{route: route, fd: fd}, nil
}

func (n *netlink) close() {
	unix.Close(n.route)
	unix.Close(n.fd)
}

// up brings an interface up, with further flags.
func (n *netlink) up(name string, flags uint16) error {
	r := newIfreq(name)
	if err := r.ioctl(n.fd, unix.SIOCGIFFLAGS); err != nil {
		return fmt.Errorf("examine %s: %w", name, err)
	}
	now := binary.NativeEndian.Uint16(r.data[:])
	binary.NativeEndian.PutUint16(r.data[:], now|flags|unix.IFF_UP|unix.IFF_RUNNING)
	if err := r.ioctl(n.fd, unix.SIOCSIFFLAGS); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// attribute appends one attribute, padded.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(value)%4)%4)...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// call sends one request and waits for the kernel's answer.
func (n *netlink) call(kind, flags uint16, body []byte) error {
	n.seq++
	var b []byte
	b = append(b, u32(uint32(unix.SizeofNlMsghdr+len(body)))...)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = append(append(b, u32(n.seq)...), u32(0)...)
	b = append(b, body...)
	if err := unix.Sendto(n.route, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	got, _, err := unix.Recvfrom(n.route, buf, 0)
	if err != nil {
		return err
	}
	if got < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return errors.New("an unexpected answer of the kernel")
	}
	if e := int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:])); e != 0 {
		return unix.Errno(-e)
	}
	return nil
}

func (n *netlink) addAddress(index uint32, family byte, addr []byte, bits int) error {
	b := append([]byte{family, byte(bits), unix.IFA_F_NODAD | unix.IFA_F_PERMANENT, 0}, u32(index)...)
	b = attribute(b, unix.IFA_LOCAL, addr)
	b = attribute(b, unix.IFA_ADDRESS, addr)
	return n.call(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}

// addRoute makes via the way to everything.
func (n *netlink) addRoute(index uint32, family byte, via []byte) error {
	b := []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	b = attribute(b, unix.RTA_GATEWAY, via)
	b = attribute(b, unix.RTA_OIF, u32(index))
	return n.call(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}

// addPair makes a pair of devices: one here, the sandbox's interface in the
// namespace that the descriptor stands for.
func (n *netlink) addPair(inside int) error {
	const vethPeer = 1 // VETH_INFO_PEER
	peer := make([]byte, unix.SizeofIfInfomsg)
	peer = attribute(peer, unix.IFLA_IFNAME, []byte(Interface+"\x00"))
	peer = attribute(peer, unix.IFLA_ADDRESS, innerMAC[:])
	peer = attribute(peer, unix.IFLA_MTU, u32(MTU))
	peer = attribute(peer, unix.IFLA_NET_NS_FD, u32(uint32(inside)))
	info := attribute(nil, unix.IFLA_INFO_KIND, []byte("veth\x00"))
	info = attribute(info, unix.IFLA_INFO_DATA, attribute(nil, vethPeer, peer))
	b := make([]byte, unix.SizeofIfInfomsg)
	b = attribute(b, unix.IFLA_IFNAME, []byte(outerName+"\x00"))
	b = attribute(b, unix.IFLA_ADDRESS, outerMAC[:])
	b = attribute(b, unix.IFLA_MTU, u32(MTU))
	b = attribute(b, unix.IFLA_LINKINFO, info)
	return n.call(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}
