package caddymodule

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Of the parts of a JSON pointer.
var (
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
)

// jsonLine returns the line on which the value at a pointer begins, 0 if there
// is none.
func jsonLine(source []byte, pointer string) int {
	decoder := json.NewDecoder(bytes.NewReader(source))
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if !enterJSON(decoder, unescapePointer.Replace(part)) {
			return 0
		}
	}
	offset := int(decoder.InputOffset())
	for offset < len(source) && strings.IndexByte(" \t\r\n:,", source[offset]) >= 0 {
		offset++
	}
	return 1 + bytes.Count(source[:offset], []byte("\n"))
}

// enterJSON moves decoder before the member or element of that name.
func enterJSON(decoder *json.Decoder, name string) bool {
	opening, err := decoder.Token()
	if err != nil {
		return false
	}
	for i := 0; decoder.More(); i++ {
		at := strconv.Itoa(i)
		if opening == json.Delim('{') {
			key, err := decoder.Token()
			if err != nil {
				return false
			}
			at, _ = key.(string)
		}
		if at == name {
			return true
		}
		var skipped json.RawMessage
		if decoder.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}
