package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/revocation"
)

func TestRevocationsListCountUndo(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	for _, value := range []string{"ann", "\x1b[2Jbob\u202e"} {
		body, _ := json.Marshal(order{Kind: "subject", Issuer: b.iss.URL(), Value: value, Note: "two\nlines"})
		if a := b.post(string(body)); a.Status != 200 {
			t.Fatal(a.Body)
		}
	}
	out, _, err := c.run("", "revocations", "list", "--kind", "subject", "--issuer", b.iss.URL())
	if err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, "ann") || !strings.Contains(out, "admin 127.0.0.1") && !strings.Contains(out, "admin 192.0.2.7") {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("the table obeys a value: %q", out)
	}
	out, _, err = c.run("", "revocations", "list", "--json", "--limit", "0")
	if err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if _, err := revocation.ParseEntryJSON([]byte(line)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	if out, _, err := c.run("", "revocations", "count"); err != nil || !strings.Contains(out, "subject  2\n") || !strings.Contains(out, "total    2\n") {
		t.Errorf("%v %q", err, out)
	}
	if out, _, err := c.run("", "revocations", "count", "--json"); err != nil || !strings.Contains(out, `"total":2`) {
		t.Errorf("%v %q", err, out)
	}
	id := revocation.DigestOf(revocation.Subject, b.iss.URL(), "ann")
	if out, _, err := c.run("", "revocations", "undo", id.String(), "--note", "by mistake"); err != nil || out != "undone\n" {
		t.Errorf("%v %q", err, out)
	}
	if e := b.list.entries[id]; e.InForce() || e.Note != "by mistake" {
		t.Errorf("%+v", e)
	}
	if out, _, err := c.run("", "revocations", "list", "--undone"); err != nil || !strings.Contains(out, "undone 2") {
		t.Errorf("%v %q", err, out)
	}
	if _, _, err := c.run("", "revocations", "undo", id.String()); cli.Code(err) != cli.Refused {
		t.Errorf("undone twice: %v", err)
	}
	for _, args := range [][]string{{"undo", "--help"}, {"undo", "-h"}} {
		if out, _, err := c.run("", append([]string{"revocations"}, args...)...); err != nil || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: %v %q", args, err, out)
		}
	}
	for _, args := range [][]string{
		{"undo"}, {"undo", "x"}, {"undo", id.String(), id.String()}, {"undo", id.String(), "--why", "x"}, {"list", "--kind", "x"}, {"list", "--limit", "-1"},
		{"list", "x"}, {"erase"}, {"import"}, {"import", "a", "b"}, {"import", "-", "--resume-from", "0"}, {"import", "-", "--restart", "--resume-from", "2"},
	} {
		if _, _, err := c.run("", append([]string{"revocations"}, args...)...); cli.Code(err) != cli.Usage {
			t.Errorf("%v: exit %d: %v", args, cli.Code(err), err)
		}
	}
}

// TestUndoTakesIDsThatBeginWithAHyphen, as one of 64 does.
func TestUndoTakesIDsThatBeginWithAHyphen(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	for i := 0; ; i++ {
		value := fmt.Sprint(i)
		id := revocation.DigestOf(revocation.Session, b.iss.URL(), value).String()
		if id[0] != '-' {
			continue
		}
		if a := b.post(b.asks(`{"kind":"session","issuer":"ISSUER","value":"` + value + `"}`)); a.Status != 200 {
			t.Fatal(a.Body)
		}
		if out, _, err := c.run("", "revocations", "undo", "--note", "AAAAAAAAAAAAAAAAAAAAAA", id); err != nil || out != "undone\n" {
			t.Errorf("%v %q", err, out)
		}
		return
	}
}

// pagingList hands out pages of two.
type pagingList struct{ *fakeList }

func (pagingList) Query(_ context.Context, f revocation.Filter) (out []revocation.Entry, next string, err error) {
	var start int
	_, _ = fmt.Sscan(f.Cursor, &start)
	for i := start; i < min(start+min(2, f.Limit), 7); i++ {
		out = append(out, revocation.Entry{Kind: revocation.Session, Issuer: "i", Value: fmt.Sprint("s", i), Until: time.Now(), RevokedAt: time.Now(), Via: "admin"})
	}
	if next := start + len(out); next < 7 {
		return out, fmt.Sprint(next), nil
	}
	return out, "", nil
}

func TestRevocationsListFollowsPages(t *testing.T) {
	b := newAdminBench(t)
	b.view.list = pagingList{b.list}
	c := serveAdmin(t, b.mux)
	for limit, want := range map[string]int{"0": 7, "3": 3, "100": 7, "7": 7} {
		out, errOut, err := c.run("", "revocations", "list", "--limit", limit)
		if err != nil || strings.Count(out, "\n") != want+1 || (want < 7) != strings.Contains(errOut, "more than 3") {
			t.Errorf("--limit %s: %v %q\n%s", limit, err, errOut, out)
		}
	}
}

func TestExportCommand(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	if _, _, err := c.run("", "revocations", "import", lines(t, b.iss.URL(), 100)); err != nil {
		t.Fatal(err)
	}
	out, _, err := c.run("", "revocations", "export")
	if err != nil || strings.Count(out, "\n") != 100 {
		t.Errorf("%d lines, %v", strings.Count(out, "\n"), err)
	}
	b.view.list = &slowList{fakeList: b.list, fail: true}
	if _, _, err := c.run("", "revocations", "export"); cli.Code(err) == cli.Done {
		t.Error("an export that broke off looks whole")
	}
}

// screen is a terminal for a progress bar.
type screen struct{ strings.Builder }

func TestProgressBar(t *testing.T) {
	now := time.Unix(0, 0)
	out := new(screen)
	bar := &progressBar{out: out, size: 1000, now: func() time.Time { return now }}
	bar.show(100, 10)
	for i := 2; i <= 5; i++ {
		now = now.Add(time.Second)
		bar.show(int64(100*i), 10*i)
		bar.show(int64(100*i), 10*i) // too soon to draw again
	}
	drawn := strings.Split(out.String(), "\r\x1b[K")
	if len(drawn) != 6 || drawn[5] != "[###############...............]  50 %  50 lines  10/s  5s left" {
		t.Errorf("%q", drawn)
	}
	bar.finish()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Error("the bar stays")
	}
	var none *progressBar
	none.show(1, 1)
	none.finish()
	if newProgressBar(nil, 1, time.Now) != nil {
		t.Error("a bar without a terminal")
	}
	endless := &progressBar{out: new(screen), now: func() time.Time { return now }}
	endless.show(5, 5)
	if got := endless.text(now, 5, 5); got != "5 lines  0/s" {
		t.Errorf("%q", got)
	}
}
