package ui

import (
	"embed"
	"fmt"
	"net/http"
	"path"
	"strconv"
)

//go:embed web
var web embed.FS

// asset is one of the page's files.
type asset struct {
	contentType string
	content     []byte
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func readAssets() (map[string]asset, error) {
	files, err := web.ReadDir("web")
	if err != nil {
		return nil, err
	}
	assets := make(map[string]asset, len(files))
	for _, file := range files {
		contentType, ok := contentTypes[path.Ext(file.Name())]
		if !ok {
			return nil, fmt.Errorf("%s: a file of an unknown type", file.Name())
		}
		content, err := web.ReadFile("web/" + file.Name())
		if err != nil {
			return nil, err
		}
		assets[file.Name()] = asset{contentType, content}
	}
	assets[""] = assets["index.html"]
	delete(assets, "index.html")
	return assets, nil
}

func (p *Page) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	file, ok := p.assets[name]
	if !ok {
		refuse(w, http.StatusNotFound, "not_found", "the page has no such file")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "allowed here: GET, HEAD")
		return
	}
	w.Header().Set("Content-Type", file.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(file.content)))
	_, _ = w.Write(file.content)
}
