package jwks

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// proxies is the proxy configuration of the environment.
type proxies struct {
	choose func(*url.URL) (*url.URL, error)
	addrs  map[string]bool // host:port of each proxy, as a transport dials it
}

func environmentProxies() proxies {
	env := httpproxy.FromEnvironment()
	p := proxies{choose: env.ProxyFunc(), addrs: map[string]bool{}}
	for _, target := range []string{"http://jwtgate.invalid", "https://jwtgate.invalid"} {
		u, err := url.Parse(target)
		if err != nil {
			continue
		}
		if proxy, err := p.choose(u); err == nil && proxy != nil {
			p.addrs[hostPort(proxy)] = true
		}
	}
	return p
}

// hostPort returns host:port of u with the default port of its scheme.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// dialPublic connects to public addresses only, whatever a name resolves to:
// the check is on the address that is about to be dialled, so that a second
// answer of the DNS cannot slip past it (RFC 8725bis section 3.10). A proxy of
// the environment may be private; what lies behind it, it decides.
func (p proxies) dialPublic(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if !p.addrs[strings.ToLower(addr)] {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !public(ap.Addr()) {
				return faultf(resultNetwork, "%s resolves to %s, which is no public address; name the URL with `jwks` if it is meant", addr, address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

// dial connects to whatever the operator configured.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 15 * time.Second}
	return d.DialContext(ctx, network, addr)
}

// notPublic are the special-purpose ranges of RFC 6890 and its registries that
// netip has no method for.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared by carriers
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"),     // Teredo and protocol assignments
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("2002::/16"),     // 6to4: hides an IPv4 address
	netip.MustParsePrefix("3fff::/20"),     // documentation
}

var (
	globalUnicast6 = netip.MustParsePrefix("2000::/3")
	nat64          = netip.MustParsePrefix("64:ff9b::/96")
)

// public reports whether ip is an address of the public internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	if ip.Is6() && !globalUnicast6.Contains(ip) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
