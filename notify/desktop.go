package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// The desktop's own names.
const (
	service  = "org.freedesktop.Notifications"
	object   = "/org/freedesktop/Notifications"
	callTime = 5 * time.Second
)

// A desktop is who shows notifications in the user's session.
type desktop struct {
	conn *dbus.Conn
	text func(string) string // for the body, which may be markup
}

// openDesktop connects to the session's bus. It starts none.
func openDesktop(ctx context.Context) (*desktop, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return nil, fmt.Errorf("there is no session of a desktop: %w", err)
	}
	// A bus that takes us and says nothing would be waited for without end.
	late := time.AfterFunc(callTime, func() { _ = conn.Close() })
	defer late.Stop()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the session's bus does not take us: %w", err)
	}
	if err := conn.Hello(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the session's bus does not answer: %w", err)
	}
	if !late.Stop() {
		return nil, errors.New("the session's bus does not answer in time")
	}
	d := &desktop{conn: conn, text: plain}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var abilities []string
	if err := conn.Object(service, object).CallWithContext(ctx, service+".GetCapabilities", 0).Store(&abilities); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("nobody in the session shows notifications: %w", err)
	}
	if slices.Contains(abilities, "body-markup") {
		d.text = markup
	}
	return d, nil
}

// tell shows n.
func (d *desktop) tell(ctx context.Context, n Note) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(byte(1))}
	call := d.conn.Object(service, object).CallWithContext(ctx, service+".Notify", 0,
		"belljar", uint32(0), "", "belljar: "+n.summary(), d.text(n.detail()), []string{}, hints, int32(-1))
	if call.Err != nil {
		return fmt.Errorf("it was not shown: %w", call.Err)
	}
	return nil
}
