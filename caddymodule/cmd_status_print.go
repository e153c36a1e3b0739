package caddymodule

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// print writes the status on one screen: the verdict, what is wrong, the facts.
// Everything that came from elsewhere is made harmless.
func (s *gatewayStatus) print(out io.Writer, p paint) error {
	var b bytes.Buffer
	switch s.State {
	case stateOK:
		fmt.Fprintln(&b, p.green("OK")+"  "+printable(s.Summary))
	case stateWarning:
		fmt.Fprintln(&b, p.yellow("WARNING")+"  "+printable(s.Summary))
	default:
		fmt.Fprintln(&b, p.red(strings.ToUpper(strings.ReplaceAll(s.State, "_", " ")))+"  "+printable(s.Summary))
	}
	s.printProblems(&b, p)
	fmt.Fprintln(&b)
	s.printIssuers(&b, p)
	s.printParts(&b)
	s.printDecisions(&b)
	_, err := out.Write(b.Bytes())
	return err
}

func (s *gatewayStatus) printProblems(b *bytes.Buffer, p paint) {
	for i := range s.Problems {
		problem := &s.Problems[i]
		level := p.yellow("warning")
		if problem.Level == levelError {
			level = p.red("error")
		}
		fmt.Fprintf(b, "\n%s  %s\n", level, graphic(cmp.Or(problem.Issuer, problem.About)))
		fmt.Fprintf(b, "  %s\n", graphic(problem.Text))
		if problem.Cause != "" {
			fmt.Fprintf(b, "  seen:  %s\n", graphic(problem.Cause))
		}
		fmt.Fprintf(b, "  do:    %s\n", graphic(problem.Do))
	}
}

func (s *gatewayStatus) printIssuers(b *bytes.Buffer, p paint) {
	if len(s.Issuers) == 0 {
		fmt.Fprintln(b, "No issuer is configured.")
		return
	}
	for i := range s.Issuers {
		is := &s.Issuers[i]
		state := "keys are good"
		switch {
		case !is.Usable:
			state = p.red("no usable keys")
		case is.LastError != "":
			state = p.yellow("the last refresh failed")
		case is.Stale:
			state = p.yellow("keys are past their refresh")
		}
		fmt.Fprintf(b, "%s  %s\n", p.bold(graphic(is.Issuer)), state)
		from := is.Source
		if is.Location != "" {
			from += " " + graphic(is.Location)
		}
		if is.KeysURL != "" {
			from += ", keys at " + graphic(is.KeysURL)
		}
		fmt.Fprintf(b, "  from %s\n", from)
		if times := is.times(s.Time); times != "" {
			fmt.Fprintf(b, "  %s\n", times)
		}
		is.printKeys(b, s.Time)
	}
}

// times says how old the keys are and what comes next.
func (is *issuerStatus) times(now time.Time) string {
	var parts []string
	if is.FetchedAt != nil {
		verb := "fetched"
		if is.Source == "jwks_file" || is.Source == "pem_file" {
			verb = "read"
		}
		parts = append(parts, verb+" "+shortSpan(now.Sub(*is.FetchedAt))+" ago")
	}
	if is.LastErrorAt != nil {
		parts = append(parts, "failed "+shortSpan(now.Sub(*is.LastErrorAt))+" ago")
	}
	if is.NextRefresh != nil {
		if next := is.NextRefresh.Sub(now); next > 0 {
			parts = append(parts, "next in "+shortSpan(next))
		} else {
			parts = append(parts, "being fetched")
		}
	}
	if is.UsableUntil != nil && (is.Stale || is.LastError != "") {
		if left := is.UsableUntil.Sub(now); left > 0 {
			parts = append(parts, "usable for another "+shortSpan(left))
		} else {
			parts = append(parts, "usable until "+shortSpan(-left)+" ago")
		}
	}
	return strings.Join(parts, ", ")
}

func (is *issuerStatus) printKeys(b *bytes.Buffer, now time.Time) {
	if len(is.Keys) > 0 {
		table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "  KID\tTYPE\tALGORITHMS\tUSE\tSEEN\tTHUMBPRINT")
		for _, k := range is.Keys {
			if k.Type == "oct" {
				fmt.Fprintln(table, "  (secret)\toct\tHS*\t-\t-\t-")
				continue
			}
			seen := "-"
			if k.SeenAt != nil {
				seen = shortSpan(now.Sub(*k.SeenAt)) + " ago"
			}
			size := k.Curve
			if size == "" && k.Bits > 0 {
				size = fmt.Sprint(k.Bits)
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\n", cell(k.ID), cell(strings.TrimSpace(k.Type+" "+size)), shortAlgorithms(k.Algorithms), cell(k.Use), seen, cell(k.Thumbprint))
		}
		_ = table.Flush() // into memory
	}
	const most = 5
	for i, skipped := range is.Skipped {
		if i == most {
			fmt.Fprintf(b, "  and %d more are not used\n", len(is.Skipped)-most)
			break
		}
		fmt.Fprintf(b, "  not used: %s\n", graphic(skipped))
	}
	fmt.Fprintln(b)
}

// shortAlgorithms names all of RSA's briefly.
func shortAlgorithms(algorithms string) string {
	if algorithms == "RS256 RS384 RS512 PS256 PS384 PS512" {
		return "RS* PS*"
	}
	return cell(algorithms)
}

// printParts is a line for each part that has no table.
func (s *gatewayStatus) printParts(b *bytes.Buffer) {
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(table, name+"\t"+format+"\n", args...) }
	r := &s.Revocations
	total, kinds := 0, ""
	for _, kind := range revocation.Kinds() {
		n := r.ByKind[kind.String()]
		if total += n; n > 0 {
			kinds += fmt.Sprintf(", %s %s", kind, thousands(uint64(n)))
		}
	}
	loaded := "loaded"
	if !r.Loaded {
		loaded = fmt.Sprintf("NOT LOADED, %s of %s read", thousands(uint64(r.Done)), thousands(uint64(r.Total)))
	}
	line("revocations", "%s, %s in force%s", loaded, thousands(uint64(total)), kinds)
	if j := r.Journal; j != nil {
		health := "disk is good"
		if j.Error != "" || j.NotDurable > 0 {
			health = "DISK FAILS"
		}
		line("journal", "%s, %s, %s", graphic(j.Path), size(j.Bytes), health)
	} else {
		line("journal", "off: a restart forgets every revocation")
	}
	if f := s.Feed; f != nil {
		answer := "never read to its end"
		if f.LastAnswer != nil {
			answer = "read to its end " + shortSpan(s.Time.Sub(*f.LastAnswer)) + " ago"
		}
		if f.LagSeconds > 0 {
			answer += ", lag " + lag(f.LagSeconds)
		}
		line("feed", "%s, %s, %s, %s waiting", strings.ToUpper(f.State), graphic(f.Redis), answer, thousands(uint64(f.Outbox)))
	} else {
		line("feed", "none: this gateway is alone")
	}
	if c := s.Cache; c != nil {
		hits := "no look-ups yet"
		if n := c.Hits + c.Misses; n > 0 {
			hits = percent(c.Hits, n) + " hits"
		}
		line("cache", "%s verdicts, %s of %s, %s", thousands(c.Entries), size(c.Bytes), size(c.MaxBytes), hits)
	} else {
		line("cache", "off: every request costs a signature check")
	}
	if st := s.Streams; st.Upgraded+st.Events > 0 {
		line("streams", "%s upgraded and %s of events are open; neither exp nor a revocation ends them", thousands(uint64(st.Upgraded)), thousands(uint64(st.Events)))
	}
	line("process", "jwtgate %s, Caddy %s, up %s, at %s", graphic(s.Version), graphic(s.Caddy), shortSpan(s.Time.Sub(s.StartedAt)), s.Time.Format(time.RFC3339))
	_ = table.Flush()
}

// maxShownDecisions keeps the table on the screen.
const maxShownDecisions = 15

func (s *gatewayStatus) printDecisions(b *bytes.Buffer) {
	if len(s.Decisions) == 0 {
		fmt.Fprintln(b, "\nNo request has met a gate yet.")
		return
	}
	fmt.Fprintln(b)
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "DECISION\tREASON\tISSUER\t1 MIN\t5 MIN\t15 MIN\tTOTAL")
	for i, d := range s.Decisions {
		if i == maxShownDecisions {
			break
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cell(d.Result), cell(d.Reason), cell(d.Issuer),
			thousands(d.Last1Min), thousands(d.Last5Min), thousands(d.Last15Min), thousands(d.Total))
	}
	_ = table.Flush()
	if more := len(s.Decisions) - maxShownDecisions; more > 0 {
		fmt.Fprintf(b, "and %d more; see --json\n", more)
	}
}

// shortSpan is a duration for people: 3s, 12m, 5h10m, 3d4h.
func shortSpan(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// lag is a short time in the unit that suits it.
func lag(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.1f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

func size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	case bytes < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// percent never rounds to none or all what is neither.
func percent(part, whole uint64) string {
	share := 100 * float64(part) / float64(whole)
	switch {
	case part > 0 && share < 0.1:
		return "< 0.1 %"
	case part < whole && share > 99.9:
		return "> 99.9 %"
	}
	return fmt.Sprintf("%.1f %%", share)
}

// thousands writes n in groups: 12,345.
func thousands(n uint64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
