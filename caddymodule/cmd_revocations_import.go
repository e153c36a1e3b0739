package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

// What one request of an import holds at most. Caddy's admin endpoint reads for
// 10 s, over whatever lies between.
const (
	importChunkLines = 2000
	importChunkBytes = 4 << 20
)

// importFlags are the flags of `caddy jwtgate revocations import`.
type importFlags struct {
	address             string
	resumeFrom          int
	restart             bool
	skipBad, json, mute bool
}

func newImportCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import <file> [flags]",
		Short: "Reads revocations from a file, as export writes them",
		Long: `Reads revocations from a file, or from standard input if it is "-": a JSON object
on each line, either as "revocations export" writes it or as the admin API takes
it: kind, issuer, value or token, before, note.

How far it has come is kept beside the file, in <file>` + importStateSuffix + `, until it is
done: an import that was interrupted goes on where it stopped when the same
command is given again, also after lines further down were mended. Importing a
line twice changes nothing.

Lines are sent ` + fmt.Sprint(importChunkLines) + ` at a time. When one of them is bad, none of these is applied and
the import stops, unless --skip-bad is given.`,
		Example: `  caddy jwtgate revocations import revocations.ndjson
  ssh other caddy jwtgate revocations export | caddy jwtgate revocations import -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("%s takes one file, or - for standard input", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.BoolVar(&f.skipBad, "skip-bad", false, "leave bad lines out and report them")
	flags.IntVar(&f.resumeFrom, "resume-from", 1, "begin with this line")
	flags.BoolVar(&f.restart, "restart", false, "begin with the first line, whatever an earlier import did")
	flags.BoolVar(&f.mute, "no-progress", false, "show no progress bar")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, path string) (err error) {
	if f.resumeFrom < 1 {
		return cli.Usagef("--resume-from %d: lines are counted from 1", f.resumeFrom)
	}
	if f.restart && f.resumeFrom > 1 {
		return cli.Usagef("--restart contradicts --resume-from")
	}
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	i := &importer{client: client, skipBad: f.skipBad, errOut: cmd.ErrOrStderr(), pause: pause}
	var size int64
	in := cmd.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		in, size = file, info.Size()
		if info.Mode().IsRegular() {
			i.statePath = path + importStateSuffix
		}
	}
	i.source = newLineSource(in)
	if !f.mute {
		i.bar = newProgressBar(terminal(cmd.ErrOrStderr()), size, time.Now)
	}
	err = i.resume(cmd.Context(), in, f)
	if err == nil {
		err = i.run(cmd.Context())
	}
	i.bar.finish()
	return errors.Join(err, i.report(cmd.OutOrStdout(), f.json, err == nil))
}

// importResult is what became of an import.
type importResult struct {
	Lines      int  `json:"lines"` // sent and applied by this run
	Changed    int  `json:"changed"`
	Expired    int  `json:"expired"`
	Bad        int  `json:"bad"`
	NextLine   int  `json:"next_line"`
	Complete   bool `json:"complete"`
	notDurable bool
}

// importer sends lines in order, a chunk at a time.
type importer struct {
	client    *adminClient
	source    *lineSource
	statePath string // empty: nothing is remembered
	skipBad   bool
	bar       *progressBar // may be nil
	errOut    io.Writer
	pause     func(ctx context.Context, d time.Duration) error

	result   importResult
	accepted bool // something was, by this run
}

func (i *importer) run(ctx context.Context) error {
	for {
		chunk, err := i.source.chunk(importChunkLines, importChunkBytes)
		if err != nil {
			return err
		}
		if len(chunk) == 0 && i.source.ended {
			i.result.Complete = true
			i.forget()
			if i.result.Bad > 0 {
				return cli.Exit(cli.Refused, fmt.Errorf("%d bad lines were left out", i.result.Bad))
			}
			return nil
		}
		if err := i.send(ctx, chunk); err != nil {
			return err
		}
		i.remember()
		i.bar.show(i.source.offset, i.source.line-1)
	}
}

// send has a chunk applied, without its bad lines if those are to be skipped.
func (i *importer) send(ctx context.Context, chunk []importLine) error {
	for len(chunk) > 0 {
		good := chunk[:0:0]
		var bad []fault
		for _, line := range chunk {
			if line.text == nil {
				bad = append(bad, fault{Line: line.number, Detail: "longer than 256 KiB"})
			} else {
				good = append(good, line)
			}
		}
		chunk = good
		if len(bad) == 0 {
			answer, err := i.post(ctx, chunk)
			if bad = badLines(err, chunk); len(bad) == 0 {
				if err != nil {
					return err
				}
				i.accepted = true
				i.result.Lines += answer.Lines
				i.result.Changed += answer.Changed
				i.result.Expired += answer.Expired
				i.result.notDurable = i.result.notDurable || !answer.Durable
				return nil
			}
			chunk = without(chunk, bad)
		}
		i.complain(bad)
		if !i.skipBad {
			return cli.Exit(cli.Refused, fmt.Errorf("bad lines: nothing from line %d on was applied; mend them and give the command again, or use --skip-bad", i.result.NextLine))
		}
	}
	return nil
}

// badLines returns the faults of an answer that names lines, with their numbers
// in the whole input.
func badLines(err error, chunk []importLine) []fault {
	var refusal *adminRefusal
	if !errors.As(err, &refusal) || refusal.Status >= 500 {
		return nil
	}
	var bad []fault
	for _, f := range refusal.Errors {
		if f.Line < 1 || f.Line > len(chunk) {
			return nil
		}
		f.Line = chunk[f.Line-1].number
		bad = append(bad, f)
	}
	return bad
}

func without(chunk []importLine, bad []fault) []importLine {
	skip := make(map[int]bool, len(bad))
	for _, f := range bad {
		skip[f.Line] = true
	}
	var rest []importLine
	for _, line := range chunk {
		if !skip[line.number] {
			rest = append(rest, line)
		}
	}
	return rest
}

// maxComplaints bounds how many bad lines are told one by one.
const maxComplaints = 1000

func (i *importer) complain(bad []fault) {
	i.bar.clear()
	last := 0
	for _, f := range bad {
		if f.Line != last {
			last = f.Line
			i.result.Bad++
		}
		if i.result.Bad > maxComplaints {
			continue
		}
		field := ""
		if f.Field != "" {
			field = f.Field + ": "
		}
		fmt.Fprintf(i.errOut, "line %d: %s\n", f.Line, printable(field+f.Detail))
	}
}

// The pauses before a chunk is sent again.
const (
	firstPause  = 200 * time.Millisecond
	longPause   = 5 * time.Second
	maxAttempts = 10
)

// post sends lines. A reload takes the admin endpoint away for a moment, and a
// list may be loading or its disk be full for longer: then it is tried again,
// but an endpoint that never answered is not waited for.
func (i *importer) post(ctx context.Context, chunk []importLine) (importAnswer, error) {
	var body bytes.Buffer
	for _, line := range chunk {
		body.Write(line.text)
		body.WriteByte('\n')
	}
	for attempt, wait := 1, firstPause; ; attempt, wait = attempt+1, min(2*wait, longPause) {
		answer, err := i.try(ctx, body.Bytes())
		if err == nil || attempt == maxAttempts || !i.transient(err) {
			return answer, err
		}
		if i.pause(ctx, wait) != nil {
			return answer, err
		}
	}
}

func (i *importer) try(ctx context.Context, body []byte) (answer importAnswer, err error) {
	response, err := i.client.do(ctx, http.MethodPost, "/jwtgate/revocations", "application/x-ndjson", bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return answer, i.client.unreachable(fmt.Errorf("reading its answer: %w", err))
	}
	return answer, nil
}

func (i *importer) transient(err error) bool {
	var refusal *adminRefusal
	if errors.As(err, &refusal) {
		return refusal.Status == http.StatusServiceUnavailable
	}
	return i.accepted && cli.Code(err) == cli.Unreachable
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report says how far it came.
func (i *importer) report(out io.Writer, asJSON, done bool) error {
	r := i.result
	if r.notDurable {
		fmt.Fprintln(i.errOut, "They are in memory only, since `journal off` is configured: a restart forgets them.")
	}
	if !done && i.statePath == "" && r.NextLine > 1 {
		fmt.Fprintf(i.errOut, "Everything before line %d is applied: go on with --resume-from %d.\n", r.NextLine, r.NextLine)
	}
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(out, "%d lines applied, %d of them new or changed, %d expired already, %d bad\n", r.Lines, r.Changed, r.Expired, r.Bad)
	return err
}
