package demo

import (
	"encoding/json"
	"net"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func TestPortInUseNamesThePortAndTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for flag, o := range map[string]options{
		"gateway": {gateway: port}, "issuer": {issuer: port}, "backend": {backend: port}, "admin": {admin: port},
	} {
		_, err := listenAll(o)
		if err == nil || cli.Code(err) != cli.Refused {
			t.Fatalf("%s: %v", flag, err)
		}
		for _, want := range []string{"port " + strconv.Itoa(port), "--" + flag + " PORT"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", flag, err, want)
			}
		}
	}
}

func TestSamePortTwiceIsFound(t *testing.T) {
	p, err := listenAll(options{})
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(p.gateway.port())
	p.close()
	if p, err := listenAll(options{gateway: port, backend: port}); err == nil {
		p.close()
		t.Error("gateway and backend share a port")
	}
	if _, err := listenAll(options{admin: 65536}); cli.Code(err) != cli.Usage {
		t.Errorf("port 65536: %v", err)
	}
}

func TestFailedListenLeavesNoPortOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	free.Close()
	if _, err := listenAll(options{gateway: address.Port, admin: taken.Addr().(*net.TCPAddr).Port}); err == nil {
		t.Fatal("no conflict found")
	}
	again, err := net.Listen("tcp", address.String())
	if err != nil {
		t.Fatalf("the gateway's port is still open: %v", err)
	}
	again.Close()
}

func TestTwoDemosCannotShareADirectory(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "solaris" || runtime.GOOS == "aix" {
		t.Skip("no advisory file lock in the standard library of this system")
	}
	dir := filepath.Join(t.TempDir(), "data")
	unlock, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = lockData(dir)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	unlock()
}

func TestBackendShowsWhatArrived(t *testing.T) {
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("X-User-ID", "alice")
	r.Header.Set("Authorization", "Bearer secret-token")
	w := httptest.NewRecorder()
	serveBackend(w, r)
	want := "The legacy backend received GET /orders with\n  Authorization: Bearer (12 bytes)\n  X-User-Id: alice\n"
	if w.Body.String() != want {
		t.Errorf("got %q", w.Body)
	}
	r.Header.Set("Accept", "application/json")
	w = httptest.NewRecorder()
	serveBackend(w, r)
	var answer struct {
		Method, Path string
		Headers      map[string][]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Path != "/orders" || answer.Headers["X-User-Id"][0] != "alice" {
		t.Errorf("%s, %v", w.Body, err)
	}
	if strings.Contains(w.Body.String(), "secret-token") {
		t.Error("the answer shows the token")
	}
	for method, want := range map[string]int{"POST": 204, "GET": 200} {
		w := httptest.NewRecorder()
		serveBackend(w, httptest.NewRequest(method, "/auth/logout", nil))
		if w.Code != want {
			t.Errorf("%s /auth/logout: %d", method, w.Code)
		}
	}
}
