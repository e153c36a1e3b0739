package mobile_test

import (
	"testing"
	"time"
)

// TestTabsRefreshOneAtATime: two tabs of a PWA with one session between them. Two
// refreshes with one refresh token would end it.
func TestTabsRefreshOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	c := w.launch(typescript(t), func(o *options) { o.Tabs = true })
	c.do("signIn", map[string]any{"answer": w.issuer.expired(t)})
	c.do("tab", nil)
	first, second := c.send("call", map[string]any{"parallel": 5}), c.send("call", map[string]any{"parallel": 5, "tab": 2})
	for _, calls := range [][]result{c.await(first, "first tab").Calls, c.await(second, "second tab").Calls} {
		for _, r := range calls {
			if !r.ok() {
				t.Errorf("%+v", r)
			}
		}
	}
	if asked, granted, _, _ := w.issuer.counts(); asked != 1 || granted != 1 {
		t.Errorf("%d refreshes asked for, %d granted, want one for both tabs", asked, granted)
	}
	// Each tab hears of the end by itself; a login in one of them is not undone by the other.
	if r := c.do("logout", nil); r.Logout != "done" {
		t.Errorf("logout: %q", r.Logout)
	}
	c.do("signIn", map[string]any{"answer": w.issuer.login(t)})
	if r := c.call(map[string]any{"tab": 2}); r.Code != "token_revoked" {
		t.Errorf("a tab that has not heard of the logout: %+v", r)
	}
	c.kill()
	c = w.launch(typescript(t), nil)
	if r := c.get(); !r.ok() {
		t.Errorf("the login after the logout is gone: %+v", r)
	}
	w.judge()
}
