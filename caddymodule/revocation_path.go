package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks bounds how many dangling links are followed, as kernels do.
const maxLinks = 40

// resolveJournal returns the absolute path of a file, which need not exist yet,
// with every symbolic link resolved: two spellings of one file are one list.
func resolveJournal(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err == nil {
		absolute, err = resolveLinks(absolute, maxLinks)
	}
	if err != nil {
		return "", fmt.Errorf("revocation journal %s: %w", path, err)
	}
	return absolute, nil
}

func resolveLinks(path string, links int) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	// The path itself may be a link whose target is still to be made.
	if target, err := os.Readlink(path); err == nil {
		if links == 0 {
			return "", &fs.PathError{Op: "resolve", Path: path, Err: errors.New("too many links")}
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		return resolveLinks(target, links-1)
	}
	if parent, err = resolveLinks(parent, links); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}
