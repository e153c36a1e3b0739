package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// directives are our handler directives in the order in which they run:
// readiness and the ways to revoke stand before the gate, and all of them
// before basic_auth, so that users write no `order` line.
//
// Caddy places a directive only relative to a standard one, never to another
// plugin's. Each is therefore put directly before the same standard directive,
// behind those put there before. That is basicauth, the deprecated alias, since
// it stands ahead of basic_auth.
var directives = []struct {
	name  string
	parse httpcaddyfile.UnmarshalHandlerFunc
}{
	{"jwtgate_ready", parseReady},
	{"jwtgate_revoke", parseRevoke},
	{"jwtgate_logout", parseLogout},
	{"jwtgate", parseGate},
}

func init() {
	httpcaddyfile.RegisterGlobalOption("jwtgate", parseApp)
	for _, directive := range directives {
		httpcaddyfile.RegisterHandlerDirective(directive.name, directive.parse)
		httpcaddyfile.RegisterDirectiveOrder(directive.name, httpcaddyfile.Before, "basicauth")
	}
}

// parseApp reads the global option.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume option name
	if existing != nil {
		return nil, d.Err("jwtgate: the global option is given twice; put everything into one block")
	}
	app := new(App)
	if err := app.unmarshal(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "jwtgate", Value: caddyconfig.JSON(app, nil)}, nil
}

// parseGate reads the handler directive.
func parseGate(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// block reads one block, or one directive with its block, word by word. It
// remembers where each word was, so that a repeated or contradicting one can
// name both lines.
type block struct {
	*caddyfile.Dispenser
	name string         // of the block, for messages
	at   map[string]int // word -> line
}

// newBlock reads the block of the word that d is at.
func newBlock(d *caddyfile.Dispenser, name string) *block {
	return &block{Dispenser: d, name: name, at: make(map[string]int)}
}

// each calls read for each word at the beginning of a line of the block.
func (b *block) each(read func(word string) error) error {
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		word, line := b.Val(), b.Line()
		if word == "{" {
			return b.Errf("%s: this line takes no block", b.name)
		}
		if err := read(word); err != nil {
			return err
		}
		if _, ok := b.at[word]; !ok {
			b.at[word] = line
		}
	}
	return nil
}

// fail returns an error that names word, file and line.
func (b *block) fail(word, format string, args ...any) error {
	return b.Errf("%s: %s: %w", b.name, word, fmt.Errorf(format, args...))
}

// wrap adds word, file and line to err, nil if it is nil. An error that begins
// with the word on its own does not get it twice.
func (b *block) wrap(word string, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), word+":"), strings.HasPrefix(err.Error(), word+" "):
		return b.Errf("%s: %w", b.name, err)
	}
	return b.fail(word, "%w", err)
}

// unknown is the error about a word that does not exist here. A typo in a
// security directive must never mean "off".
func (b *block) unknown(word string, known ...string) error {
	return b.Errf("%s: unknown word '%s'; known are: %s", b.name, word, strings.Join(known, ", "))
}

// once refuses a single-valued word that was there before.
func (b *block) once(word string) error {
	if line, ok := b.at[word]; ok {
		return b.fail(word, "it may be given once, and line %d has it", line)
	}
	return nil
}

// excludes refuses word when one that contradicts it was there before.
func (b *block) excludes(word string, why string, others ...string) error {
	for _, other := range others {
		if line, ok := b.at[other]; ok {
			return b.fail(word, "contradicts '%s' in line %d: %s", other, line, why)
		}
	}
	return nil
}

// values reads the arguments of word, at least least and, unless most is
// negative, at most most.
func (b *block) values(word string, least, most int) ([]string, error) {
	values := b.RemainingArgs()
	switch {
	case most == 0 && len(values) > 0:
		return nil, b.fail(word, "it takes no value, but there is '%s'", values[0])
	case len(values) < least && least == 1:
		return nil, b.fail(word, "its value is missing")
	case len(values) < least:
		return nil, b.fail(word, "it takes %d values, got %d", least, len(values))
	case most >= 0 && len(values) > most:
		return nil, b.fail(word, "'%s' is one value too many", values[most])
	}
	for _, v := range values {
		if v == "" {
			return nil, b.fail(word, "an empty value")
		}
	}
	return values, nil
}

// value reads the one argument of a word that may be there once.
func (b *block) value(word string, into *string) error {
	if err := b.once(word); err != nil {
		return err
	}
	values, err := b.values(word, 1, 1)
	if err == nil {
		*into = values[0]
	}
	return err
}

// oneOf reads the one argument of a word that may be there once, from a list.
func (b *block) oneOf(word string, into *string, allowed ...string) error {
	if err := b.value(word, into); err != nil {
		return err
	}
	return b.wrap(word, checkWord(*into, allowed...))
}

// checkWord refuses what is not in allowed.
func checkWord(s string, allowed ...string) error {
	for _, a := range allowed {
		if s == a {
			return nil
		}
	}
	return fmt.Errorf("'%s' is not %s", s, strings.Join(allowed, " or "))
}

// flag reads a word without arguments that may be there once.
func (b *block) flag(word string, into *bool) error {
	if err := b.once(word); err != nil {
		return err
	}
	_, err := b.values(word, 0, 0)
	*into = true
	return err
}

// toggle reads on or off.
func (b *block) toggle(word string, into **bool) error {
	var s string
	if err := b.oneOf(word, &s, "on", "off"); err != nil {
		return err
	}
	on := s == "on"
	*into = &on
	return nil
}

// duration reads a duration between least and most; most 0 is no limit.
func (b *block) duration(word string, into **caddy.Duration, limits durationLimits) error {
	var s string
	if err := b.value(word, &s); err != nil {
		return err
	}
	return b.wrap(word, parseDuration(s, into, limits))
}

func parseDuration(s string, into **caddy.Duration, limits durationLimits) error {
	parsed, err := caddy.ParseDuration(s) // knows days, too
	if err != nil {
		return fmt.Errorf("'%s' is no duration such as 30s, 10m, 24h or 7d", s)
	}
	if err := limits.check(parsed); err != nil {
		return err
	}
	d := caddy.Duration(parsed)
	*into = &d
	return nil
}

// durationLimits is an inclusive range; a most of 0 is no limit.
type durationLimits struct{ least, most time.Duration }

func (l durationLimits) check(d time.Duration) error {
	switch {
	case d < l.least && l.least == 0:
		return fmt.Errorf("%s is negative", d)
	case d < l.least:
		return fmt.Errorf("%s is below %s", d, l.least)
	case l.most > 0 && d > l.most:
		return fmt.Errorf("%s is above %s", d, l.most)
	}
	return nil
}

// openBlock makes sure that the word that b is at is followed by a block.
func (b *block) openBlock(word string) error {
	if _, err := b.values(word, 0, 0); err != nil {
		return err
	}
	if next := b.peek(); next != "{" {
		return b.Errf("%s: %s: a block is missing", b.name, word)
	}
	return nil
}

// peek returns the next token without consuming it, empty at the end.
func (b *block) peek() string {
	if !b.Next() {
		return ""
	}
	defer b.Prev()
	return b.Val()
}

// unique refuses values that are there already, and adds the others.
func unique(list *[]string, values ...string) error {
	for _, v := range values {
		for _, old := range *list {
			if old == v {
				return fmt.Errorf("'%s' is given twice", v)
			}
		}
		*list = append(*list, v)
	}
	return nil
}

var errNoArguments = errors.New("jwtgate takes no arguments besides a matcher; write its options into a block")
