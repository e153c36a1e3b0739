package browsertest

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

// elementKey marks an element in what the driver answers.
const elementKey = "element-6066-11e4-a52e-4f735466cecf"

// Keys as the protocol names them.
const (
	Tab    = "\ue004"
	Enter  = "\ue007"
	Escape = "\ue00c"
	Space  = " "
	Down   = "\ue015"
	Shift  = "\ue008"
)

// Element is an element of the page.
type Element struct {
	b  *Browser
	id string
}

// Open goes to url.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.must(nil, http.MethodPost, "/url", map[string]string{"url": url})
}

// Back goes to the page before.
func (b *Browser) Back() {
	b.t.Helper()
	b.must(nil, http.MethodPost, "/back", nil)
}

// URL is where the browser is.
func (b *Browser) URL() (url string) {
	b.t.Helper()
	b.must(&url, http.MethodGet, "/url", nil)
	return url
}

// All finds the elements that a CSS selector names.
func (b *Browser) All(selector string) []Element {
	b.t.Helper()
	var found []map[string]string
	b.must(&found, http.MethodPost, "/elements", map[string]string{"using": "css selector", "value": selector})
	all := make([]Element, len(found))
	for i := range found {
		all[i] = Element{b, found[i][elementKey]}
	}
	return all
}

// One waits for an element.
func (b *Browser) One(selector string) Element {
	b.t.Helper()
	var all []Element
	b.Until("there is "+selector, func() bool { all = b.All(selector); return len(all) > 0 })
	return all[0]
}

// Focused is the element with the focus.
func (b *Browser) Focused() Element {
	b.t.Helper()
	var found map[string]string
	b.must(&found, http.MethodGet, "/element/active", nil)
	return Element{b, found[elementKey]}
}

// Until waits for what must come.
func (b *Browser) Until(what string, done func() bool) {
	b.t.Helper()
	for end := time.Now().Add(Wait); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within %s: %s\nthe page says:\n%s", Wait, what, b.One("body").Text())
		}
	}
}

// UntilText waits until an element's text holds part.
func (b *Browser) UntilText(selector, part string) {
	b.t.Helper()
	b.Until(selector+" says "+part, func() bool { return strings.Contains(b.Text(selector), part) })
}

// Text is what the first such element shows, with every run of blanks as one,
// empty if there is no such element.
func (b *Browser) Text(selector string) string {
	b.t.Helper()
	text, _ := b.Script("const e = document.querySelector(arguments[0]); return e ? e.innerText ?? e.textContent : ''", selector).(string)
	return strings.Join(strings.Fields(text), " ")
}

// Click waits for an element and clicks on it.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	err := errors.New("there is no such element")
	for end := time.Now().Add(Wait); ; time.Sleep(50 * time.Millisecond) {
		if all := b.All(selector); len(all) > 0 {
			// In the middle, where no sticky header covers it. What was replaced
			// meanwhile is looked for again.
			if err = all[0].call(nil, http.MethodPost, "/click", nil); err == nil {
				return
			}
			b.Script("document.querySelector(arguments[0])?.scrollIntoView({block: 'center', behavior: 'instant'})", selector)
		}
		if time.Now().After(end) {
			b.t.Fatalf("no click on %s: %v", selector, err)
		}
	}
}

// Fill replaces what is in a field by typing.
func (b *Browser) Fill(selector, text string) {
	b.t.Helper()
	e := b.One(selector)
	e.must(nil, http.MethodPost, "/clear", nil)
	if text != "" {
		e.must(nil, http.MethodPost, "/value", map[string]string{"text": text})
	}
}

// Choose chooses the option of a select.
func (b *Browser) Choose(selector, value string) {
	b.t.Helper()
	b.Click(selector + ` option[value="` + value + `"]`)
}

// Press presses keys one after the other, wherever the focus is. Shift holds for
// the key that follows it.
func (b *Browser) Press(keys ...string) {
	b.t.Helper()
	var steps []map[string]string
	shifted := false
	for _, key := range keys {
		steps = append(steps, map[string]string{"type": "keyDown", "value": key})
		if key == Shift {
			shifted = true
			continue
		}
		steps = append(steps, map[string]string{"type": "keyUp", "value": key})
		if shifted {
			steps = append(steps, map[string]string{"type": "keyUp", "value": Shift})
			shifted = false
		}
	}
	b.must(nil, http.MethodPost, "/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keyboard", "actions": steps}}})
}

// Type presses the keys of a text.
func (b *Browser) Type(text string) {
	b.t.Helper()
	b.Press(strings.Split(text, "")...)
}

// Script runs the body of a function in the page and returns its value.
func (b *Browser) Script(body string, arguments ...any) (value any) {
	b.t.Helper()
	if arguments == nil {
		arguments = []any{}
	}
	b.must(&value, http.MethodPost, "/execute/sync", map[string]any{"script": body, "args": arguments})
	return value
}

// DevTools sends a command of the DevTools protocol.
func (b *Browser) DevTools(command string, params map[string]any) (value map[string]any) {
	b.t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	b.must(&value, http.MethodPost, "/goog/cdp/execute", map[string]any{"cmd": command, "params": params})
	return value
}

// Prefer emulates what the user prefers, such as prefers-color-scheme: dark.
func (b *Browser) Prefer(features map[string]string) {
	b.t.Helper()
	list := []map[string]string{}
	for name, value := range features {
		list = append(list, map[string]string{"name": name, "value": value})
	}
	b.DevTools("Emulation.setEmulatedMedia", map[string]any{"features": list})
}

// Resize makes the page as wide and tall as that many CSS pixels.
func (b *Browser) Resize(width, height int) {
	b.t.Helper()
	b.DevTools("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

// Screenshot returns what the window shows as PNG.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	var encoded string
	b.must(&encoded, http.MethodGet, "/screenshot", nil)
	image, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		b.t.Fatal(err)
	}
	return image
}

// Entry is a line of the browser's log: of the console, or about what was
// blocked or not loaded.
type Entry struct {
	Level   string `json:"level"`
	Source  string `json:"source"`
	Message string `json:"message"`
}

// Log returns what was logged since it was asked for last.
func (b *Browser) Log() (entries []Entry) {
	b.t.Helper()
	b.must(&entries, http.MethodPost, "/se/log", map[string]string{"type": "browser"})
	return entries
}

func (e Element) call(out any, method, path string, in any) error {
	return e.b.call(out, method, "/element/"+e.id+path, in)
}

func (e Element) must(out any, method, path string, in any) {
	e.b.t.Helper()
	e.b.must(out, method, "/element/"+e.id+path, in)
}

// Text is what the element shows.
func (e Element) Text() (text string) {
	e.b.t.Helper()
	e.must(&text, http.MethodGet, "/text", nil)
	return text
}

// Label is the accessible name that the browser computes.
func (e Element) Label() (label string) {
	e.b.t.Helper()
	e.must(&label, http.MethodGet, "/computedlabel", nil)
	return label
}

// Role is the accessible role that the browser computes.
func (e Element) Role() (role string) {
	e.b.t.Helper()
	e.must(&role, http.MethodGet, "/computedrole", nil)
	return role
}

// Attribute is an attribute, empty if there is none.
func (e Element) Attribute(name string) string {
	e.b.t.Helper()
	var value *string
	e.must(&value, http.MethodGet, "/attribute/"+name, nil)
	if value == nil {
		return ""
	}
	return *value
}

// Shown reports whether the element can be seen.
func (e Element) Shown() (shown bool) {
	e.b.t.Helper()
	e.must(&shown, http.MethodGet, "/displayed", nil)
	return shown
}

// Script runs the body of a function with the element as its argument.
func (e Element) Script(body string) any {
	e.b.t.Helper()
	return e.b.Script(body, map[string]string{elementKey: e.id})
}
