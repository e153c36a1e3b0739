package jwks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a key document, whether fetched or read from a file.
const (
	maxDocument = 256 << 10 // bytes, after decompression
	maxKeys     = 100
)

// document is what can be used of a JWK set.
type document struct {
	keys    []*Key
	skipped []string // what cannot be used and why, in the order of the document
	exposed int      // how many of skipped published a private or symmetric key
}

// parseDocument reads a JWK set (RFC 7517 section 5). The frame is strict: one
// JSON object, valid UTF-8, no member twice, `keys` once, nothing after it. An
// entry that cannot be used is skipped, and so is one with a member twice: it
// costs nobody else their keys. A document without a usable key is an error.
func parseDocument(data []byte) (document, error) {
	var doc document
	entries, err := splitDocument(data)
	if err != nil {
		return doc, err
	}
	for i, entry := range entries {
		key, kid, err := parseEntry(entry)
		if err != nil {
			if errors.Is(err, errExposed) {
				doc.exposed++
			}
			doc.skipped = append(doc.skipped, describe(i, kid, err))
			continue
		}
		if !doc.has(key) {
			doc.keys = append(doc.keys, key)
		}
	}
	if len(doc.keys) == 0 {
		return doc, noUsableKey(doc.skipped)
	}
	return doc, nil
}

func (d *document) has(key *Key) bool {
	for _, k := range d.keys {
		if k.digest == key.digest {
			return true
		}
	}
	return false
}

func noUsableKey(skipped []string) error {
	switch len(skipped) {
	case 0:
		return errors.New("document has no keys")
	case 1:
		return fmt.Errorf("document has no usable key: %s", skipped[0])
	}
	return fmt.Errorf("document has no usable key: %s, and %d more", skipped[0], len(skipped)-1)
}

// describe names an entry for people. The kid is quoted and cut: it is text
// that somebody else wrote.
func describe(i int, kid string, err error) string {
	if kid == "" {
		return fmt.Sprintf("key %d: %v", i+1, err)
	}
	return fmt.Sprintf("key %d (kid %s): %v", i+1, quote(kid), err)
}

func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// splitDocument returns the raw entries of the member keys. Names inside the
// entries are left to parseEntry, so that a mistake in one stays there.
func splitDocument(data []byte) ([]jsontext.Value, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("document is longer than %d bytes", maxDocument)
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	if err := open(dec, jsontext.KindBeginObject, "document is not a JSON object"); err != nil {
		return nil, err
	}
	var entries []jsontext.Value
	var bare bool
	names := make(map[string]bool)
	for dec.PeekKind() != jsontext.KindEndObject {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(err)
		}
		name := tok.String()
		if names[name] {
			return nil, fmt.Errorf("member %s is there twice", quote(name))
		}
		names[name] = true
		if name == "keys" {
			if entries, err = splitKeys(dec); err != nil {
				return nil, err
			}
			continue
		}
		bare = bare || name == "kty"
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		if !value.IsValid() {
			return nil, fmt.Errorf("member %s has a name twice", quote(name))
		}
	}
	if err := end(dec); err != nil {
		return nil, err
	}
	switch {
	case !names["keys"] && bare:
		return nil, errors.New(`document is a single key; a key set is {"keys":[...]}`)
	case !names["keys"]:
		return nil, errors.New("document has no member keys")
	}
	return entries, nil
}

func splitKeys(dec *jsontext.Decoder) ([]jsontext.Value, error) {
	if err := open(dec, jsontext.KindBeginArray, "member keys is not an array"); err != nil {
		return nil, err
	}
	var entries []jsontext.Value
	for dec.PeekKind() != jsontext.KindEndArray {
		if len(entries) == maxKeys {
			return nil, fmt.Errorf("document has more than %d keys", maxKeys)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		entries = append(entries, value.Clone())
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	return entries, nil
}

// open reads the token that opens an object or array.
func open(dec *jsontext.Decoder, kind jsontext.Kind, otherwise string) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return syntaxError(err)
	}
	if tok.Kind() != kind {
		return errors.New(otherwise)
	}
	return nil
}

// end reads the end of the object that is the document, and makes sure that
// nothing follows it.
func end(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// syntaxError says where JSON ends to be JSON, without repeating any of it.
func syntaxError(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("document is empty")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("document ends in the middle")
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("document has a member twice")
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("document is not JSON, from byte %d on", syntax.ByteOffset)
	}
	return errors.New("document is not JSON")
}
