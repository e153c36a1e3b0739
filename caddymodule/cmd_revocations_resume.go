package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// importLine is one line that holds something. text is nil when it is too long.
type importLine struct {
	number int
	text   []byte
}

// lineSource reads lines and keeps count of what it handed out.
type lineSource struct {
	in     *bufio.Reader
	line   int       // number of the next line, from 1
	offset int64     // of the next line, in bytes
	sum    hash.Hash // of everything before it
	ended  bool
}

func newLineSource(in io.Reader) *lineSource {
	return &lineSource{in: bufio.NewReaderSize(in, maxImportLine), line: 1, sum: sha256.New()}
}

// next reads one line.
func (s *lineSource) next() (importLine, error) {
	l := importLine{number: s.line}
	for long := false; ; long = true {
		piece, err := s.in.ReadSlice('\n')
		s.offset += int64(len(piece))
		s.sum.Write(piece)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return l, err
		}
		s.ended = err != nil
		if !s.ended || len(piece) > 0 || long {
			s.line++
		}
		if !long {
			l.text = append([]byte{}, bytes.TrimSpace(piece)...)
		}
		return l, nil
	}
}

// chunk reads lines until there are most of them, or so many bytes. It is empty
// and the source ended after the last one, but a chunk of blank lines may be
// empty, too.
func (s *lineSource) chunk(most, bytes int) ([]importLine, error) {
	var lines []importLine
	for size := 0; len(lines) < most && size < bytes && !s.ended; {
		l, err := s.next()
		if err != nil {
			return nil, err
		}
		if l.text != nil && len(l.text) == 0 {
			continue
		}
		size += len(l.text)
		lines = append(lines, l)
	}
	return lines, nil
}

// skipTo reads up to that line.
func (s *lineSource) skipTo(line int) error {
	for s.line < line && !s.ended {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	if s.line < line {
		return fmt.Errorf("there are only %d lines", s.line-1)
	}
	return nil
}

const importStateSuffix = ".jwtgate-import"

// importState is how far an import has come. What lies before Offset is the
// same as it was if its SHA-256 is; what follows may have been mended.
type importState struct {
	Address string `json:"address"` // of the admin endpoint: another gateway has none of it
	Line    int    `json:"line"`    // the next one
	Offset  int64  `json:"offset"`
	SHA256  string `json:"sha256"`
}

// resume goes to where the import begins.
func (i *importer) resume(ctx context.Context, in io.Reader, f *importFlags) error {
	defer func() { i.result.NextLine = i.source.line }()
	if f.resumeFrom > 1 {
		return i.source.skipTo(f.resumeFrom)
	}
	file, ok := in.(*os.File)
	if i.statePath == "" || !ok || f.restart {
		return nil
	}
	data, err := os.ReadFile(i.statePath)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(i.errOut, "Beginning with the first line: %v\n", err)
		}
		return nil
	}
	var s importState
	why := ""
	switch err := json.Unmarshal(data, &s); {
	case err != nil || s.Offset <= 0 || s.Line < 1:
		why = "is damaged"
	case s.Address != i.client.address:
		why = "is of an import to " + printable(s.Address)
	}
	if why == "" {
		sum := sha256.New()
		n, err := io.Copy(sum, io.LimitReader(&cancelled{ctx, file}, s.Offset))
		if err != nil {
			return err
		}
		if n != s.Offset || hex.EncodeToString(sum.Sum(nil)) != s.SHA256 {
			why = "is of another content of the file"
		} else {
			*i.source = *newLineSource(file)
			i.source.line, i.source.offset, i.source.sum = s.Line, s.Offset, sum
			fmt.Fprintf(i.errOut, "Going on with line %d, as %s says.\n", s.Line, i.statePath)
			return nil
		}
	}
	fmt.Fprintf(i.errOut, "Beginning with the first line: %s %s.\n", i.statePath, why)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	*i.source = *newLineSource(file)
	return nil
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	in  io.Reader
}

// Read implements io.Reader.
func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.in.Read(p)
}

// remember notes that everything handed out so far is applied. An import into
// memory alone is not remembered: after a restart of Caddy it would have to be
// done again.
func (i *importer) remember() {
	i.result.NextLine = i.source.line
	if i.statePath == "" || i.result.notDurable {
		return
	}
	data, err := json.Marshal(importState{
		Address: i.client.address, Line: i.source.line, Offset: i.source.offset, SHA256: hex.EncodeToString(i.source.sum.Sum(nil)),
	})
	if err == nil {
		err = os.WriteFile(i.statePath+".new", append(data, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(i.statePath+".new", i.statePath)
	}
	if err != nil {
		i.bar.clear()
		fmt.Fprintf(i.errOut, "An interruption will not be remembered: %v\n", err)
		i.statePath = ""
	}
}

// forget removes what is remembered.
func (i *importer) forget() {
	if i.statePath == "" {
		return
	}
	if err := os.Remove(i.statePath); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(i.errOut, "%v\n", err)
	}
}
