// Package ui serves the operator's page: one HTML file with plain scripts that
// shows a running gateway and works on its revocation list.
//
// The page has no authentication of its own, like the admin endpoint that it
// talks to. What keeps others out is a path of 128 random bits that only
// whoever started it knows, and checks on every request against what a browser
// does on behalf of foreign pages: DNS rebinding (Host), cross-site requests
// (Origin, Sec-Fetch-Site, a header of its own) and framing.
package ui

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// Admin asks the admin endpoint of a gateway.
type Admin interface {
	// Send sends a request, with a JSON body if it is not empty, and returns the
	// answer whatever its status is. Its error means that there was no answer,
	// and its text is for people.
	Send(ctx context.Context, method, path string, body []byte) (*http.Response, error)
}

// Options are the settings of a Page.
type Options struct {
	// Admin is required.
	Admin Admin
	// Address is where Admin asks, for people.
	Address string
	// ReadOnly refuses what changes anything.
	ReadOnly bool
	// Hosts are names or IP addresses, without a port, under which the page may
	// be asked for besides localhost, 127.0.0.1 and ::1.
	Hosts []string
}

// Page is the page and what it asks for. It is an http.Handler.
type Page struct {
	options Options
	hosts   map[string]bool
	secret  string
	assets  map[string]asset
}

// New returns a page at a path of its own.
func New(o Options) (*Page, error) {
	if o.Admin == nil {
		return nil, errors.New("no admin endpoint")
	}
	assets, err := readAssets()
	if err != nil {
		return nil, err
	}
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, err
	}
	p := &Page{options: o, secret: hex.EncodeToString(secret[:]), assets: assets,
		hosts: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}}
	for _, host := range o.Hosts {
		p.hosts[strings.ToLower(strings.Trim(host, "[]"))] = true
	}
	return p, nil
}

// Path is the path of the page. Who knows it may do what the page does.
func (p *Page) Path() string { return "/" + p.secret + "/" }

// stopWithin bounds the wait for requests in flight.
const stopWithin = 2 * time.Second

// Serve serves the page on l until ctx ends, and closes l.
func (p *Page) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      askTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// What net/http has to say about clients may hold a URL, and with it the
		// path.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// The context has ended already.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if server.Shutdown(end) != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Loopback reports whether l can be reached from this machine alone.
func Loopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
