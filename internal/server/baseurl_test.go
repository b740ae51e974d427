package server

import (
	"strings"
	"testing"
)

// TestCheckBaseURL reads base URLs. No error repeats a part of a URL.
func TestCheckBaseURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://h.example":            "",
		"https://h.example:443/fhir":   "",
		"http://[::1]:8080/fhir":       "",
		"http://h:1":                   "",
		"http://h:65535":               "",
		"https://h.example:99999":      "port",
		"https://h.example:65536/fhir": "port",
		"https://h.example:0":          "port",
		"https://h.example:0443":       "port",
		"https://h.example:":           "port",
		"https://:443/fhir":            "absolute URL",
		"https://h.example:http":       "absolute URL",
		"h.example/fhir":               "absolute URL",
		"ftp://h.example":              "absolute URL",
		"https://hush@h.example":       "a user or a password",
		"https://a:hush@h.example":     "a user or a password",
		"https://a:hu%zzsh@h.example":  "absolute URL",
		"https://a:hu sh@h.example":    "absolute URL",
		"https://h.example?key=hush":   "query",
		"https://h.example?":           "query",
		"https://h.example#hush":       "query",
		"https://h.example/fhir#":      "query",
		"https://h.example/hush/":      "trailing slashes",
		"https://h.example/hush{x}":    "braces",
	} {
		_, err := CheckBaseURL(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hu") || strings.Contains(err.Error(), "h.example")) {
			t.Errorf("%s is repeated: %v", text, err)
		}
	}
}
