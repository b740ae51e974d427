package main

import (
	"errors"
	"net/mail"
	"net/url"
	"strings"

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/policy"
)

// contact is an option that says how clients reach the operator.
type contact struct{ conformance.Contact }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *contact) UnmarshalText(text []byte) error {
	value := strings.TrimSpace(string(text))
	digits := strings.Trim(value, "+0123456789 ()-")
	u, err := url.Parse(value)
	switch address, notMail := mail.ParseAddress(strings.TrimPrefix(value, "mailto:")); {
	case notMail == nil && address.Name == "":
		c.Contact = conformance.Contact{System: "email", Value: address.Address}
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil:
		c.Contact = conformance.Contact{System: "url", Value: value}
	case digits == "" && len(value) >= 3:
		c.Contact = conformance.Contact{System: "phone", Value: value}
	default:
		return errors.New("it is not a contact: write an e-mail address, a phone number, or a URL that begins with https:// and has no user")
	}
	return nil
}

// serverRules returns the rules in force, for the text of the CapabilityStatement.
func (c *serveCmd) serverRules(suppressed policy.SuppressedRules) conformance.ServerRules {
	may := suppressed.Allow(false) // no client is authenticated yet
	return conformance.ServerRules{
		AnswersEarlyPolls:       export.PollLimit(c.PollLimit) != export.PollEnforce,
		PollInterval:            c.PollInterval,
		ExportsWithoutFilter:    c.Compatibility.MissingTypeFilter,
		SearchesEverything:      !c.Compatibility.RequireSubstantive,
		SuppressedUnknown:       !may.MayBeAskedFor(),
		DeltasWithoutSuppressed: !may.InDeltas(),
	}
}
