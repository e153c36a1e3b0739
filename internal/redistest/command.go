package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Do sends one command, as the default user, and returns the answer: a string,
// an int64, nil or a []any. It fails the test on an error.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	answer, err := s.Ask(args...)
	if err != nil {
		s.t.Fatalf("redis %v: %v", args[0], err)
	}
	return answer
}

// Int is Do for an answer that is a number.
func (s *Server) Int(args ...any) int64 {
	s.t.Helper()
	n, ok := s.Do(args...).(int64)
	if !ok {
		s.t.Fatalf("redis %v: the answer is no number", args[0])
	}
	return n
}

// Ask is Do for a server that may be in no state to answer.
func (s *Server) Ask(args ...any) (any, error) {
	network, addr := s.address()
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		text := fmt.Sprint(a)
		if raw, ok := a.([]byte); ok {
			text = string(raw)
		}
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(text), text)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	return readAnswer(bufio.NewReader(c))
}

func readAnswer(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("empty answer")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		return string(b[:n]), nil
	case '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			if list[i], err = readAnswer(r); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("answer of unknown type %q", line[0])
}
