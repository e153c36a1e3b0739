package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
)

var errUnknownPlaceholder = errors.New(`placeholders here are {env.*} and {file.*}; a literal brace is written \{`)

// expand replaces the placeholders {env.*} and {file.*} in text. The error
// names option and placeholder, never the value.
func expand(option, text string) (string, error) {
	out, err := caddy.NewReplacer().ReplaceFunc(text, func(key string, val any) (any, error) {
		if !strings.HasPrefix(key, "env.") && !strings.HasPrefix(key, "file.") {
			return nil, fmt.Errorf("%s: {%s}: %w", option, key, errUnknownPlaceholder)
		}
		if caddy.ToString(val) == "" {
			return nil, fmt.Errorf("%s: placeholder {%s} is empty or cannot be read", option, key)
		}
		return val, nil
	})
	if err != nil {
		return "", err
	}
	if text != "" && out == "" {
		return "", fmt.Errorf("%s: it is empty", option)
	}
	return out, nil
}

// expandName is expand for what has no blanks at its ends, such as a name or a
// URL: a stray newline from a file would make it match nothing.
func expandName(option, text string) (string, error) {
	out, err := expand(option, text)
	switch {
	case err != nil:
		return "", err
	case strings.TrimSpace(out) != out:
		return "", fmt.Errorf("%s: blank or line break at the beginning or end", option)
	case !utf8.ValidString(out):
		return "", fmt.Errorf("%s: it is not valid UTF-8", option)
	}
	return out, nil
}

// expandNames is expandName for a list. Values that are equal once expanded
// are an error.
func expandNames(option string, texts []string) ([]string, error) {
	var out []string
	for _, text := range texts {
		if text == "" {
			return nil, fmt.Errorf("%s: an empty value", option)
		}
		name, err := expandName(option, text)
		if err != nil {
			return nil, err
		}
		if err := unique(&out, name); err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
	}
	return out, nil
}

// durationOr returns the configured duration or its default.
func durationOr(option string, d *caddy.Duration, byDefault time.Duration, limits durationLimits) (time.Duration, error) {
	if d == nil {
		return byDefault, nil
	}
	if err := limits.check(time.Duration(*d)); err != nil {
		return 0, fmt.Errorf("%s: %w", option, err)
	}
	return time.Duration(*d), nil
}

// wordOr returns the configured word or its default, the first of allowed.
func wordOr(option, s string, allowed ...string) (string, error) {
	if s == "" {
		return allowed[0], nil
	}
	if err := checkWord(s, allowed...); err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	return s, nil
}

// sizeOr returns the configured size in bytes or its default.
func sizeOr(option, s string, byDefault int64, limits sizeLimits) (int64, error) {
	if s == "" {
		return byDefault, nil
	}
	n, err := parseSize(s, limits)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", option, err)
	}
	return n, nil
}

// collector gathers mistakes, so that all of them are reported at once.
type collector []error

// check adds err if there is one and reports whether there was none.
func (c *collector) check(err error) bool {
	if err != nil {
		*c = append(*c, err)
	}
	return err == nil
}

// join returns the gathered mistakes as one error, nil if there are none.
func (c collector) join() error { return errors.Join(c...) }
