package caddymodule

import (
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// TestRevocationListOutlivesAReload: what is revoked in one configuration is
// revoked in the next, and nothing remains when the last one is gone.
func TestRevocationListOutlivesAReload(t *testing.T) {
	var s revocationSettings
	before, after := new(leases), new(leases)
	first, err := s.checker(before)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d := revocation.DigestOf(revocation.Subject, "i", "alice")
	first.(*memoryList).index.Put(revocation.Subject, d, now, now.Add(time.Hour))

	second, err := s.checker(after)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.end(); err != nil {
		t.Fatal(err)
	}
	old := revocation.IDs{Subject: d, IssuedAt: now.Add(-time.Second).UnixNano()}
	if kind, err := second.Revoked(&old); kind != revocation.Subject || err != nil {
		t.Errorf("after a reload: kind %v, error %v", kind, err)
	}
	renewed := revocation.IDs{Subject: d, IssuedAt: now.Add(time.Second).UnixNano()}
	if kind, err := second.Revoked(&renewed); kind != 0 || err != nil {
		t.Errorf("a newer token: kind %v, error %v", kind, err)
	}
	if err := after.end(); err != nil {
		t.Fatal(err)
	}
	if _, there := listPool.References(memoryListKey); there {
		t.Error("the list remains after the end")
	}
	if kind, err := second.Revoked(&old); kind != revocation.Subject || err != nil {
		t.Errorf("a late request: kind %v, error %v", kind, err)
	}
}
