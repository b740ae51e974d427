// Package requestid puts the X-Request-ID of a request into its context, for the
// OperationOutcomes that services write (ER-01).
package requestid

import "context"

type key struct{}

// With returns a copy of ctx with the id.
func With(ctx context.Context, id string) context.Context { return context.WithValue(ctx, key{}, id) }

// From returns the id in ctx, or "" if there is none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(key{}).(string)
	return id
}
