package backends

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of functions into docs/backend.md")

// decoder is one way to read the default form in a language. Its program reads
// a JSON array of strings and writes another.
type decoder struct {
	language, expression string
	run                  func(t *testing.T, expression, input string) string
}

// decoders are pairs: what decodes, and what only seems to.
var decoders = [][2]decoder{
	{{"Go", "url.PathUnescape(value)", inGo(url.PathUnescape)}, {"Go", "url.QueryUnescape(value)", inGo(url.QueryUnescape)}},
	{{"Python", "urllib.parse.unquote(value)", inPython}, {"Python", "urllib.parse.unquote_plus(value)", inPython}},
	{{"Node", "decodeURIComponent(value)", inNode}, {"Node", "unescape(value)", inNode}},
	{{"Node", "querystring.unescape(value)", inNode}, {"Node", `new URLSearchParams("v=" + value).get("v")`, inNode}},
	{{"PHP", "rawurldecode($value)", inPHP}, {"PHP", "urldecode($value)", inPHP}},
	{{"Java", `URLDecoder.decode(value.replace("+", "%2B"), UTF_8)`, inJava}, {"Java", "URLDecoder.decode(value, UTF_8)", inJava}},
}

func inGo(decode func(string) (string, error)) func(*testing.T, string, string) string {
	return func(t *testing.T, _, input string) string {
		var values []string
		if err := json.Unmarshal([]byte(input), &values); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			var err error
			if values[i], err = decode(values[i]); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := json.Marshal(values)
		return string(out)
	}
}

func inPython(t *testing.T, expression, input string) string {
	return program(t, input, require(t, "python3", "python3"), "-c", "import json, sys, urllib.parse\nprint(json.dumps(["+expression+" for value in json.load(sys.stdin)]))")
}

func inNode(t *testing.T, expression, input string) string {
	return program(t, input, require(t, "node", "nodejs"), "-e",
		`const querystring = require("querystring"); console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).map((value) => `+expression+`)))`)
}

func inPHP(t *testing.T, expression, input string) string {
	return program(t, input, require(t, "php", "php-cli"), "-r",
		"echo json_encode(array_map(function ($value) { return "+expression+"; }, json_decode(stream_get_contents(STDIN))), JSON_THROW_ON_ERROR);")
}

// inJava passes the strings as arguments, for want of JSON in the JDK.
func inJava(t *testing.T, expression, input string) string {
	var values []string
	if err := json.Unmarshal([]byte(input), &values); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "Decode.java")
	if err := os.WriteFile(source, []byte(`import static java.nio.charset.StandardCharsets.UTF_8;
import java.net.URLDecoder;
import java.util.Base64;

class Decode {
	public static void main(String[] values) {
		for (String value : values) {
			System.out.println(Base64.getEncoder().encodeToString(`+expression+`.getBytes(UTF_8)));
		}
	}
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	require(t, "javac", "default-jdk-headless")
	out := program(t, "", require(t, "java", "default-jdk-headless"), append([]string{source}, values...)...)
	var decoded []string
	for line := range strings.Lines(out) {
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		decoded = append(decoded, string(value))
	}
	all, _ := json.Marshal(decoded)
	return string(all)
}

func program(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

var (
	formsRow    = regexp.MustCompile("(?m)^\\| [^|]+ \\| `(\"(?:[^`|]|\\\\\\|)*\")` \\| `((?:[^`|]|\\\\\\|)*)` \\|")
	decodersAre = regexp.MustCompile(`(?s)<!-- decoders -->\n(.*?)<!-- end -->`)
)

// TestFunctionsThatDecode runs them over every string of docs/backend.md, and
// holds the table of functions there against what came out.
func TestFunctionsThatDecode(t *testing.T) {
	const file = "../../docs/backend.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var encoded, want []string
	for _, m := range formsRow.FindAllStringSubmatch(string(doc), -1) {
		var claim string
		if err := json.Unmarshal([]byte(strings.ReplaceAll(m[1], `\|`, "|")), &claim); err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		encoded, want = append(encoded, strings.ReplaceAll(m[2], `\|`, "|")), append(want, claim)
	}
	if len(encoded) < 12 {
		t.Fatalf("%s has %d strings", file, len(encoded))
	}
	input, _ := json.Marshal(encoded)
	table := "| language | decodes | does not | what that makes of it |\n|---|---|---|---|\n"
	for _, pair := range decoders {
		row := "| " + pair[0].language
		for i, d := range pair {
			t.Run(d.language+" "+d.expression, func(t *testing.T) {
				var got []string
				if out := d.run(t, d.expression, string(input)); json.Unmarshal([]byte(out), &got) != nil || len(got) != len(want) {
					t.Fatalf("got %s", out)
				}
				wrong := -1
				for j := range got {
					if got[j] != want[j] && wrong < 0 {
						wrong = j
					}
				}
				row += " | `" + d.expression + "`"
				switch {
				case i == 0 && wrong >= 0:
					t.Errorf("%q becomes %q, not %q", encoded[wrong], got[wrong], want[wrong])
				case i == 1 && wrong < 0:
					t.Error("it decodes everything")
				case i == 1:
					row += fmt.Sprintf(" | `%s` becomes `%s` |\n", encoded[wrong], got[wrong])
				}
			})
		}
		if !strings.HasSuffix(row, "\n") {
			return // the interpreter is missing
		}
		table += row
	}
	there := decodersAre.FindStringSubmatch(string(doc))
	switch {
	case there == nil:
		t.Errorf("%s has no place for the table", file)
	case *update:
		written := strings.Replace(string(doc), there[1], table, 1)
		if there[1] == "" {
			written = strings.Replace(string(doc), "<!-- decoders -->\n", "<!-- decoders -->\n"+table, 1)
		}
		if err := os.WriteFile(file, []byte(written), 0o600); err != nil {
			t.Fatal(err)
		}
	case there[1] != table:
		t.Errorf("it should be\n%s", table)
	}
}
