package main

import "testing"

func TestOrigin(t *testing.T) {
	for text, valid := range map[string]bool{
		"https://console.example.org": true, "http://localhost:3000": true, "*": true,
		"https://console.example.org/": false, "console.example.org": false, "https://Console.example.org": false,
		"https://user@console.example.org": false, "null": false, "": false, "https://*.example.org/path": false,
	} {
		var o webOrigin
		if err := o.UnmarshalText([]byte(text)); (err == nil) != valid || valid && string(o) != text {
			t.Errorf("%q: %q, %v", text, o, err)
		}
	}
}
