package issuer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Listen opens a TCP listener on a loopback address and refuses every other:
// what it serves gives tokens to whoever can connect.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.IsLoopback() {
		return nil, fmt.Errorf("%q is not a loopback address such as 127.0.0.1:8081", address)
	}
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}
