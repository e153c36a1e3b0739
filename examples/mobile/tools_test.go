package mobile_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// required says that a missing tool is a failure, as it is in CI.
func required() bool { return os.Getenv("JWTGATE_TESTS") == "all" }

// lack skips the test for want of something, or fails it where it is required.
func lack(t *testing.T, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			lack(t, "%s is missing: see docs/develop.md for what the mobile clients need", name)
		}
	}
}

var building sync.Mutex

// built returns a directory with what build made of the files. It is kept from one
// run to the next, under a name made from the files' content and the tool's version.
func built(t *testing.T, tool []string, files []string, build func(dir string) error) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	sum := sha256.New()
	version, err := exec.Command(tool[0], tool[1:]...).CombinedOutput()
	if err != nil {
		lack(t, "%s: %v %s", strings.Join(tool, " "), err, version)
	}
	fmt.Fprintf(sum, "%s\n", version)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
	}
	parent, err := os.UserCacheDir()
	if err != nil {
		parent = os.TempDir()
	}
	parent = filepath.Join(parent, "jwtgate-mobile")
	dir := filepath.Join(parent, fmt.Sprintf("%x", sum.Sum(nil)[:12]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	if err := build(fresh); err != nil {
		t.Fatal(err)
	}
	// Another test process may have been faster; what it made is the same.
	if err := os.Rename(fresh, dir); err != nil {
		if _, gone := os.Stat(dir); gone != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sources(t *testing.T, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	return files
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// javaJars are the libraries that the Kotlin client is compiled against, as Debian has
// them. JWTGATE_MOBILE_JARS names others, for instance those of a newer OkHttp.
var javaJars = []string{"okhttp.jar", "okio.jar", "kotlin-stdlib.jar", "com.android.json.jar"}

func classpath(t *testing.T) string {
	t.Helper()
	if jars := os.Getenv("JWTGATE_MOBILE_JARS"); jars != "" {
		return jars
	}
	paths := make([]string, len(javaJars))
	for n, jar := range javaJars {
		paths[n] = filepath.Join("/usr/share/java", jar)
		if _, err := os.Stat(paths[n]); err != nil {
			lack(t, "%s is missing: see docs/develop.md for what the mobile clients need", paths[n])
		}
	}
	return strings.Join(paths, string(filepath.ListSeparator))
}

// kotlin compiles the client for Android and its driver for a JVM. The files below
// android/ need the Android SDK and stay out.
func kotlin(t *testing.T) startClient {
	t.Helper()
	needTools(t, "kotlinc", "java")
	jars := classpath(t)
	files := sources(t, "android-kotlin/session/*.kt", "testdata/*.kt")
	dir := built(t, []string{"kotlinc", "-cp", jars, "-version"}, files, func(dir string) error {
		return run(".", "kotlinc", append([]string{"-cp", jars, "-jvm-target", "1.8", "-d", dir}, files...)...)
	})
	return func(options string) []string {
		return []string{"java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", dir + string(filepath.ListSeparator) + jars, "DriverKt", options}
	}
}

// typescript installs the pinned compiler, checks the types and compiles.
func typescript(t *testing.T) startClient {
	t.Helper()
	needTools(t, "node", "npm")
	config := sources(t, "typescript/package.json", "typescript/package-lock.json", "typescript/tsconfig.json")
	files := append(config, sources(t, "typescript/src/*.ts")...)
	tools := built(t, []string{"npm", "--version"}, config[:2], func(dir string) error {
		if err := copyFiles(dir, "typescript", config[:2]); err != nil {
			return err
		}
		return run(dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	})
	dir := built(t, []string{"node", "--version"}, files, func(dir string) error {
		if err := copyFiles(dir, "typescript", files); err != nil {
			return err
		}
		tsc := filepath.Join(tools, "node_modules", ".bin", "tsc")
		if err := run(dir, tsc, "--noEmit"); err != nil {
			return err
		}
		return run(dir, tsc, "--module", "commonjs", "--moduleResolution", "node10", "--outDir", "dist")
	})
	driver, err := filepath.Abs("testdata/driver.cjs")
	if err != nil {
		t.Fatal(err)
	}
	// package.json says that the sources are ES modules; what was compiled for Node is not.
	compiled := filepath.Join(dir, "dist")
	if err := os.WriteFile(filepath.Join(compiled, "package.json"), []byte(`{"type":"commonjs"}`), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	return func(options string) []string {
		return []string{"node", driver, filepath.Join(compiled, "index.js"), options}
	}
}

func copyFiles(to, from string, files []string) error {
	for _, file := range files {
		name, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(target)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
	}
	return nil
}
