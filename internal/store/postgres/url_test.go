package postgres

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"muster/internal/store"
)

// TestPasswordInURL generates passwords with the characters that end a part of a URL, and
// writes them without percent-encoding. A password is either refused, with no part of it in the
// error, or read as it is written, with the host, the database and the parameter.
func TestPasswordInURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"HUSH", "5432", "HUSH5", "0"}), 1, 4).Draw(t, "words")
		mark := rapid.SampledFrom([]string{"@", "/", "?", "#", ":", "[", "]", "%", "%zz", "&", "=", ",", " ", "\n", "\t", "\\", "'", "+", "é", "://", "@/", "/@", ":@"})
		password := words[0]
		for _, word := range words[1:] {
			password += mark.Draw(t, "mark") + word
		}
		place := rapid.SampledFrom([]string{
			"postgres://anna:PASSWORD@db.example.org:6543/directory?sslmode=disable",
			"postgresql://anna:PASSWORD@db.example.org:6543/directory?sslmode=disable",
		}).Draw(t, "place")
		text := strings.Replace(place, "PASSWORD", password, 1)
		config, err := parseURL(text)
		if err != nil {
			if strings.Contains(err.Error(), "HUSH") || strings.Contains(err.Error(), "5432") || strings.Contains(err.Error(), "anna") {
				t.Fatalf("the error repeats the URL %q: %v", text, err)
			}
			if _, _, err := forLibpq(text); err == nil {
				t.Fatalf("%q is refused for queries and accepted for backups", text)
			}
			if got := WithoutPassword(text); got != "URL" {
				t.Fatalf("WithoutPassword(%q) = %q", text, got)
			}
			return
		}
		c := config.ConnConfig
		if got := [...]string{c.User, c.Password, c.Host, c.Database}; got != [...]string{"anna", unescaped(password), "db.example.org", "directory"} || c.Port != 6543 || c.TLSConfig != nil {
			t.Fatalf("%q is read as %q, port %d", text, got, c.Port)
		}
		if target, got, err := forLibpq(text); err != nil || got != c.Password || target != WithoutPassword(text) {
			t.Fatalf("forLibpq(%q) = %q, %q, %v", text, target, got, err)
		}
		if got, want := WithoutPassword(text), strings.Replace(place, ":PASSWORD", "", 1); got != want {
			t.Fatalf("WithoutPassword(%q) = %q, want %q", text, got, want)
		}
	})
}

// TestEncodedPasswordInURL generates any password and writes it percent-encoded: it is accepted.
func TestEncodedPasswordInURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := strings.ReplaceAll(rapid.StringN(1, 20, -1).Draw(t, "password"), "\x00", "")
		text := "postgres://anna:" + url.QueryEscape(password) + "@db.example.org/directory"
		text = strings.ReplaceAll(text, "+", "%20")
		config, err := parseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		if c := config.ConnConfig; password != "" && c.Password != password || c.Host != "db.example.org" {
			t.Fatalf("%q is read as %q on %s", text, c.Password, c.Host)
		}
	})
}

// TestRefusedURL checks the reasons for which a URL is refused, by each function that takes one.
func TestRefusedURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                                                     "does not begin with postgres://",
		"host=HUSH password=HUSH":                              "does not begin with postgres://",
		"mysql://anna:HUSH@h/d":                                "does not begin with postgres://",
		"Postgres://anna:HUSH@h/d":                             "does not begin with postgres://",
		"postgres:anna:HUSH@h/d":                               "does not begin with postgres://",
		"postgres://anna:HUSH@HUSH@h/d":                        "contains an @",
		"postgres://anna:12/HUSH@h/d":                          "contains an @",
		"postgres://anna:12?HUSH@h/d":                          "contains an @",
		"postgres://an/HUSH:x@h/d":                             "contains an @",
		"postgres://anna:HUSH@h/d?user=x@HUSH":                 "contains an @",
		"postgres://anna:12#HUSH@h/d":                          "contains a #",
		"postgres://anna:HUSH x@h/d":                           "contains white space",
		"postgres://anna:HUSH@h/d\n":                           "contains white space",
		"postgres://anna:HUSH%@h/d":                            "contains a % that",
		"postgres://anna:HUSH%zz@h/d":                          "contains a % that",
		"postgres://anna:HUSH%00@h/d":                          "contains a % that",
		"postgres://anna:HUSH":                                 "its host or its port",
		"postgres://anna:HUSH/d":                               "its host or its port",
		"postgres://anna:99999/d":                              "its host or its port",
		"postgres://anna:HUSH@h:HUSH/d":                        "its host or its port",
		"postgres://anna:HUSH@h:1:2/d":                         "its host or its port",
		"postgres://anna:HUSH@h!HUSH/d":                        "its host or its port",
		"postgres://anna:HUSH@h%40HUSH/d":                      "its host or its port",
		"postgres://anna:HUSH@[::1/d":                          "its host or its port",
		"postgres://anna:HUSH@[HUSH]/d":                        "its host or its port",
		"postgres://h/d?sslmode=HUSH":                          "the parameter sslmode",
		"postgres://h/d?HUSH":                                  "write NAME=VALUE",
		"postgres://h/d?password=a&HUSH":                       "write NAME=VALUE",
		"postgres://h/d?sslrootcert=/HUSH&sslmode=verify-full": "check sslrootcert",
	} {
		_, opened := Open(t.Context(), text, store.Options{})
		_, inspected := Inspect(t.Context(), text, store.Identity{})
		_, _, unserved := OpenUnserved(t.Context(), text, store.Options{})
		for _, err := range []error{CheckURL(text), opened, inspected, unserved} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "HUSH") || strings.Contains(err.Error(), "anna") {
				t.Errorf("%q: got %v, want an error with %q and nothing of the URL", text, err, want)
			}
		}
	}
}

// TestAcceptedURL checks URLs that must be accepted, and what remains of them in messages.
func TestAcceptedURL(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://":                                 "postgres://",
		"postgres:///d":                               "postgres:///d",
		"postgres:///d?host=/var/run/postgresql":      "postgres:///d?host=/var/run/postgresql",
		"postgres://u@%2Fvar%2Frun%2Fpostgresql/d":    "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
		"postgres://h1:5432,h2:5433/d":                "postgres://h1:5432,h2:5433/d",
		"postgres://u:p@h1,h2/d":                      "postgres://u@h1,h2/d",
		"postgres://u:p@[::1]:5432/d":                 "postgres://u@[::1]:5432/d",
		"postgres://u:p@[fe80::1%25eth0]/d":           "postgres://u@[fe80::1%25eth0]/d",
		"postgres://u%40tenant:p@my_db-1.example/d":   "postgres://u%40tenant@my_db-1.example/d",
		"postgres://u:p@h?sslmode=disable":            "postgres://u@h?sslmode=disable",
		"postgres://u:a:b@h/d":                        "postgres://u@h/d",
		"postgres://u@h/d?passw%6Frd=p&sslmode=allow": "postgres://u@h/d?sslmode=allow",
	} {
		if err := CheckURL(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := WithoutPassword(text); got != want {
			t.Errorf("WithoutPassword(%q) = %q, want %q", text, got, want)
		}
	}
}
