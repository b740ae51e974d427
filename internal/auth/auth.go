// Package auth says who a request comes from and what it may ask for: each request has a
// principal in its context, and each job and file belongs to one (D15).
//
// An [Authenticator] makes a principal of a bearer token, at the edge of the server. From
// there on only the principal counts: the rules in package policy, the limits and the audit
// log never see a token. The outside issuers and the server's own token endpoint give the
// same kind of principal. Without authentication, each client is [Anonymous].
package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/internal/fhir"
)

// Interaction is what a scope allows (AU-02).
type Interaction uint8

// The interactions.
const (
	Open Interaction = iota // needs no token
	Search
	Read
	Export // kick-off, poll, download and cancel
	interactions
)

// String returns the scope of the guide for the interaction.
func (i Interaction) String() string { return [...]string{"", "search", "read", "export"}[i] }

// Grants are the types that a principal may ask for, by interaction. The zero value grants
// nothing.
type Grants [interactions]fhir.TypeSet

// AllGrants returns the grants of all interactions with all types.
func AllGrants() Grants {
	return Grants{Search: fhir.AllTypes(), Read: fhir.AllTypes(), Export: fhir.AllTypes()}
}

// And returns what both g and other grant.
func (g Grants) And(other Grants) Grants {
	for i := range g {
		g[i] &= other[i]
	}
	return g
}

// Or returns what g or other grants.
func (g Grants) Or(other Grants) Grants {
	for i := range g {
		g[i] |= other[i]
	}
	return g
}

// Policy is what an operator has set for one client. The zero value sets nothing: the options
// of the server apply.
type Policy struct {
	Rate      float64 // requests per second; 0: the option of the server
	Jobs      int     // live exports; 0: the option of the server
	Downloads int     // concurrent downloads; 0: the option of the server

	// HideSuppressed keeps suppressed resources from the client: it may not ask for them
	// and its deltas do not hold them.
	HideSuppressed bool
	// DeltasOnly refuses exports without _since.
	DeltasOnly bool
}

// Principal is the client of a request. Two principals with the same ID are the same client.
type Principal struct {
	// ID is the issuer and the client id, or "anonymous". It is stable and printable, and
	// never a token.
	ID     string
	Issuer string   // URL of the issuer of the token; "" for an anonymous client
	Client string   // client id at the issuer; "" for an anonymous client
	Scopes []string // as the token has them, for the audit log and for messages
	Grants Grants   // what the scopes and the policy allow together
	Policy Policy
}

// Authenticated reports whether the client is authenticated.
func (p Principal) Authenticated() bool { return p.ID != Anonymous.ID }

// May returns the types that the principal may ask for in an interaction.
func (p Principal) May(i Interaction) fhir.TypeSet { return p.Grants[i] }

// Anonymous is the principal of a request to a server without authentication. It may ask for
// everything.
var Anonymous = Principal{ID: "anonymous", Grants: AllGrants()}

// Of returns the principal of a client of an issuer, without grants.
func Of(issuer, client string) Principal {
	return Principal{ID: issuer + " " + client, Issuer: issuer, Client: client} // a URL has no space
}

// Authenticator makes principals of bearer tokens. Its implementations are safe for concurrent
// use.
type Authenticator interface {
	// Authenticate returns the principal of a token. The error is an [InvalidToken] if the token
	// is not accepted (401), and wraps [ErrUnavailable] if that cannot be found out now (503).
	// Before it verifies a signature or asks an issuer, it calls mayVerify, and returns its error:
	// the server limits how often a client may cause such work.
	Authenticate(ctx context.Context, token string, mayVerify func() error) (Principal, error)
}

// InvalidToken is the error for a token that is not accepted. Its text says why, for the
// client, and holds nothing of the token.
type InvalidToken struct {
	Reason  string // a clause such as "the token has expired"
	Expired bool   // the token was valid before
}

// Error implements error.
func (e InvalidToken) Error() string { return e.Reason }

// ErrUnavailable says that a token cannot be checked now, because its issuer does not answer or
// the database cannot be read.
var ErrUnavailable = errors.New("the token cannot be checked now")

// Unavailable returns an error that wraps [ErrUnavailable] and the cause.
func Unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// Skew is how far the clock of an issuer may differ from that of this machine, in both
// directions.
const Skew = time.Minute

type key struct{}

// With returns a copy of ctx with the principal.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns the principal in ctx, or [Anonymous].
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(key{}).(Principal); ok {
		return p
	}
	return Anonymous
}
