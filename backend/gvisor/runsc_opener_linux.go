package gvisor

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"gvisor.dev/gvisor/pkg/abi"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"github.com/belljar-dev/belljar"
)

// questionSize is a number, two addresses with ports and a time.
const questionSize = idSize + 2*(16+2) + 8

// maxOpener bounds each text of an answer.
const maxOpener = 4096

// makeScope makes the scope that the configuration, which came through JSON, asks for.
func (s *sink) makeScope(config any) error {
	if config == nil {
		return nil
	}
	b, err := json.Marshal(config)
	if err != nil {
		return err
	}
	var c scopeConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	table, ok := kernel.LookupSyscallTable(abi.Linux, arch.Host)
	if !ok {
		return fmt.Errorf("sink %s knows no system calls", sinkName)
	}
	s.scope = newScope(&c)
	return s.scope.scopeCalls(table)
}

func encodeQuestion(id uint64, from, to netip.AddrPort, at int64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, id)
	for _, a := range []netip.AddrPort{from, to} {
		ip := a.Addr().As16()
		b = binary.LittleEndian.AppendUint16(append(b, ip[:]...), a.Port())
	}
	return binary.LittleEndian.AppendUint64(b, uint64(at))
}

func decodeQuestion(b [questionSize]byte) (id uint64, from, to netip.AddrPort, at int64) {
	end := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[i:i+16])).Unmap(), binary.LittleEndian.Uint16(b[i+16:]))
	}
	return binary.LittleEndian.Uint64(b[:]), end(idSize), end(idSize + 18), int64(binary.LittleEndian.Uint64(b[questionSize-8:]))
}

// appendOpener writes who opened a connection: two texts, with a zero between them.
func appendOpener(b []byte, program, fault string) []byte {
	short := func(s string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), maxOpener)], replacement), "\x00", replacement)
	}
	return append(append(append(b, short(program)...), 0), short(fault)...)
}

// decodeOpener reads what appendOpener wrote, of a sentry that may be hostile.
func decodeOpener(b []byte) (belljar.Opened, error) {
	program, fault, ok := strings.Cut(strings.ToValidUTF8(string(b), replacement), "\x00")
	if !ok || len(program) > 2*maxOpener || len(fault) > 2*maxOpener || strings.Contains(fault, "\x00") {
		return belljar.Opened{}, errors.New("an answer that is none")
	}
	return belljar.Opened{Program: program, Refused: fault}, nil
}
