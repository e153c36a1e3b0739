package redistest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Proxy stands between gateways and a server.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	delay   time.Duration
	refuse  bool
	hole    bool
	conns   map[net.Conn]struct{}
	working sync.WaitGroup
}

// NewProxy forwards to a server until the test ends.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: s.Addr(), conns: make(map[net.Conn]struct{})}
	p.working.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.working.Wait()
	})
	return p
}

// URL is how clients name it.
func (p *Proxy) URL() *url.URL { return &url.URL{Scheme: "redis", Host: p.listener.Addr().String()} }

// Delay holds every answer up by so much.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Swallow lets nothing through in either direction, while connections stay open
// and new ones are accepted. What is swallowed is lost, and those connections
// with it: Heal closes them.
func (p *Proxy) Swallow() { p.set(func() { p.hole = true }) }

// Cut closes all connections and refuses new ones.
func (p *Proxy) Cut() { p.set(func() { p.refuse = true; p.closeAll() }) }

// Drop closes all connections; new ones work.
func (p *Proxy) Drop() { p.set(p.closeAll) }

// HalfClose ends the direction from the server of each connection; the other
// stays open.
func (p *Proxy) HalfClose() {
	p.set(func() {
		for c := range p.conns {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.CloseWrite()
			}
		}
	})
}

// Heal ends everything bad.
func (p *Proxy) Heal() {
	p.set(func() {
		if p.hole {
			p.closeAll()
		}
		p.delay, p.refuse, p.hole = 0, false, false
	})
}

func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *Proxy) closeAll() {
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse
		if !refuse {
			p.conns[c] = struct{}{}
		}
		p.mu.Unlock()
		if refuse {
			c.Close()
			continue
		}
		p.working.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, time.Second)
	defer func() {
		client.Close()
		p.set(func() { delete(p.conns, client) })
	}()
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false); server.Close() })
	both.Go(func() { p.copy(client, server, true); client.Close() })
	both.Wait()
}

func (p *Proxy) copy(to io.Writer, from io.Reader, answers bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.mu.Lock()
			delay, hole := p.delay, p.hole
			p.mu.Unlock()
			if answers && delay > 0 {
				time.Sleep(delay)
			}
			if !hole {
				if _, err := to.Write(b[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}
