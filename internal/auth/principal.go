// Package auth says who is asking: every request carries a principal in its
// context, and jobs and files belong to one.
//
// Bearer tokens come later; until then every caller is [Anonymous], and what
// depends on ownership already works by comparing principals.
package auth

import "context"

// Principal is the client that makes a request. Two principals with the same ID
// are the same client.
type Principal struct {
	ID string // stable and printable; never a token
}

// Authenticated reports whether the client has said who it is.
func (p Principal) Authenticated() bool { return p != Anonymous }

// Anonymous is the principal of a request without authentication.
var Anonymous = Principal{ID: "anonymous"}

type key struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns the principal in ctx, or [Anonymous].
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(key{}).(Principal); ok {
		return p
	}
	return Anonymous
}
