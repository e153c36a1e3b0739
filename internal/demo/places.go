package demo

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuer"
)

// place is an address of one of the demo's parts.
type place struct {
	what     string // also the flag that chooses the port
	listener net.Listener
}

// address is host:port. The literal address instead of localhost: another
// program may have the same port on ::1.
func (p place) address() string { return p.listener.Addr().String() }

func (p place) url() string { return "http://" + p.address() }

func (p place) port() string {
	_, port, _ := net.SplitHostPort(p.address())
	return port
}

type places struct{ gateway, issuer, backend, admin place }

// listenAll takes all ports at once, so that a conflict is found before
// anything starts. Caddy's own listeners would not find all of them: they share
// ports (SO_REUSEPORT) with other Caddy processes.
func listenAll(o options) (*places, error) {
	p := &places{}
	for _, want := range []struct {
		what string
		port int
		into *place
	}{
		{"gateway", o.gateway, &p.gateway},
		{"issuer", o.issuer, &p.issuer},
		{"backend", o.backend, &p.backend},
		{"admin", o.admin, &p.admin},
	} {
		if want.port < 0 || want.port > 65535 {
			p.close()
			return nil, cli.Usagef("--%s %d is no port", want.what, want.port)
		}
		l, err := issuer.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(want.port)))
		if err != nil {
			p.close()
			cause := err
			if op := (*net.OpError)(nil); errors.As(err, &op) {
				cause = op.Err
			}
			return nil, fmt.Errorf("port %d for the %s: %w; choose another with --%s PORT, 0 for any free one",
				want.port, want.what, cause, want.what)
		}
		*want.into = place{want.what, l}
	}
	return p, nil
}

// yield frees the ports that Caddy opens itself.
func (p *places) yield() {
	_ = p.gateway.listener.Close()
	_ = p.admin.listener.Close()
}

func (p *places) close() {
	for _, one := range []place{p.gateway, p.issuer, p.backend, p.admin} {
		if one.listener != nil {
			_ = one.listener.Close()
		}
	}
}
