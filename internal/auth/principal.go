// Package auth identifies clients: each request has a principal in its context, and each
// job and file belongs to one.
//
// Bearer tokens are not supported yet, so each client is [Anonymous]. Code that depends
// on ownership already compares principals.
package auth

import "context"

// Principal is the client of a request. Two principals with the same ID are the same
// client.
type Principal struct {
	ID string // stable and printable; never a token
}

// Authenticated reports whether the client is authenticated.
func (p Principal) Authenticated() bool { return p != Anonymous }

// Anonymous is the principal of a request without authentication.
var Anonymous = Principal{ID: "anonymous"}

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
