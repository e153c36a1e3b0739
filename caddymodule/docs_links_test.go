package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	mdFence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$|`[^`\n]*`")
	mdDropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the places of a document that a link may name.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range mdHeading.FindAllStringSubmatch(regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(string(text), ""), -1) {
		found[strings.ReplaceAll(mdDropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// TestDocsLinksLead checks the links between our own documents, files and
// headings alike.
func TestDocsLinksLead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md", "../examples/*/*.md", "../examples/*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	links := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(mdFence.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			path, anchor, named := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(file), path)
			if path == "" {
				target = file
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
				continue
			}
			if info.IsDir() {
				target = filepath.Join(target, "README.md")
			}
			if named && !anchors(t, target)[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", file, m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links found", links)
	}
}
