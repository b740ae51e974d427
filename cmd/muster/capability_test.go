package main

import (
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/policy"
)

// TestContact reads contacts of each kind.
func TestContact(t *testing.T) {
	t.Attr("requirements", "CS-01")
	for text, want := range map[string]conformance.Contact{
		"help@directory.example.org":         {System: "email", Value: "help@directory.example.org"},
		"mailto:help@directory.example.org":  {System: "email", Value: "help@directory.example.org"},
		"https://directory.example.org/x?y":  {System: "url", Value: "https://directory.example.org/x?y"},
		"+61 (2) 9999 0000":                  {System: "phone", Value: "+61 (2) 9999 0000"},
		" 13 11 14 ":                         {System: "phone", Value: "13 11 14"},
		"":                                   {},
		"-":                                  {},
		"the operator":                       {},
		"ftp://directory.example.org":        {},
		"https://u:pw@directory.example.org": {},
		"Help <help@directory.example.org>":  {},
	} {
		var got contact
		err := got.UnmarshalText([]byte(text))
		if got.Contact != want || (err == nil) != (want.System != "") {
			t.Errorf("%q: %+v, %v; want %+v", text, got.Contact, err, want)
		}
	}
}

// TestServerRules checks that the CapabilityStatement gets the rules that the options set.
func TestServerRules(t *testing.T) {
	t.Attr("requirements", "CS-08")
	guide := serveCmd{PollLimit: "enforce", Compatibility: switches{RequireSubstantive: true}}
	everything := policy.SuppressedRules{Search: true, Local: true}
	for _, c := range []struct {
		name       string
		change     func(*serveCmd)
		suppressed policy.SuppressedRules
		want       conformance.ServerRules
	}{
		{"the guide", func(*serveCmd) {}, everything, conformance.ServerRules{}},
		{"polls are logged", func(c *serveCmd) { c.PollLimit = "warn" }, everything, conformance.ServerRules{AnswersEarlyPolls: true}},
		{"polls are free", func(c *serveCmd) { c.PollLimit = "off" }, everything, conformance.ServerRules{AnswersEarlyPolls: true}},
		{"interval", func(c *serveCmd) { c.PollInterval = time.Minute }, everything, conformance.ServerRules{PollInterval: time.Minute}},
		{"filters", func(c *serveCmd) { c.Compatibility.MissingTypeFilter = true }, everything, conformance.ServerRules{ExportsWithoutFilter: true}},
		{"searches", func(c *serveCmd) { c.Compatibility.RequireSubstantive = false }, everything, conformance.ServerRules{SearchesEverything: true}},
		{"suppressed", func(*serveCmd) {}, policy.SuppressedRules{Local: true}, conformance.ServerRules{SuppressedUnknown: true}},
		{"exposed", func(*serveCmd) {}, policy.SuppressedRules{Search: true}, conformance.ServerRules{SuppressedUnknown: true, DeltasWithoutSuppressed: true}},
	} {
		serve := guide
		c.change(&serve)
		if got := serve.serverRules(c.suppressed); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
