package store

import (
	"context"
	"crypto/sha256"
	"errors"

	"muster/internal/auth"
	"muster/internal/fhir"
)

// RegisteredClient is a client of the token endpoint of the server itself (RG-02).
type RegisteredClient struct {
	ID   string // client id: unique and fixed
	Name string // for people
	// JWKSURL is where the client publishes its public keys. If it is empty, JWKS is the document
	// with the keys (RG-01).
	JWKSURL string
	JWKS    []byte

	Scopes []string     // what the client may ask for
	Types  fhir.TypeSet // what all of the scopes are restricted to
	Policy auth.Policy

	Disabled bool
	// Created and Changed are times of the machine on which the command ran. A client that was
	// removed and is registered again has another time of creation.
	Created, Changed fhir.Instant
}

// SigningKey is a key pair with which servers sign access tokens.
type SigningKey struct {
	Number  int64  // in the order in which they were made, from 1
	ID      string // kid
	Private []byte // PKCS #8
	Created fhir.Instant
	From    fhir.Instant // signs from then on, until the next key does
	Until   fhir.Instant // verifies until then
}

// Errors of the registry.
var (
	ErrNoClient     = errors.New("no client is registered with this id")
	ErrClientExists = errors.New("a client is registered with this id already")
	// ErrTokenUsed reports that a token that may be used once was used before.
	ErrTokenUsed = errors.New("the token was used before")
)

// Registry is what the servers of a directory share for their token endpoint. It is kept beside the
// jobs. Each method is one transaction, which a power cut does not undo. The methods are safe for
// use by several goroutines.
type Registry interface {
	ClientRegistry
	SigningKeys
	UsedTokens
}

// ClientRegistry stores the registered clients. Reads return a [damage.Error] for a client that was
// changed by anything else than these methods (RG-04).
type ClientRegistry interface {
	// AddClient stores a new client. It returns [ErrClientExists] if its id is taken.
	AddClient(ctx context.Context, c RegisteredClient) error
	// ReplaceClient replaces a client, apart from the time of its creation and whether it is
	// disabled. It returns [ErrNoClient] if there is none.
	ReplaceClient(ctx context.Context, c RegisteredClient) error
	// DisableClient disables or enables a client. It returns [ErrNoClient] if there is none.
	DisableClient(ctx context.Context, id string, disabled bool, now fhir.Instant) error
	// RemoveClient deletes a client, also one that is damaged. It returns [ErrNoClient] if there is
	// none.
	RemoveClient(ctx context.Context, id string) error
	// RegisteredClient returns a client, or [ErrNoClient].
	RegisteredClient(ctx context.Context, id string) (RegisteredClient, error)
	// RegisteredClients returns all clients by id.
	RegisteredClients(ctx context.Context) ([]RegisteredClient, error)
}

// SigningKeys stores the keys with which servers sign access tokens. A copy of a directory has none,
// unless the operator asks for them.
type SigningKeys interface {
	// SigningKeys returns the keys by number.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey stores a key, unless there is one with its number, which another server has
	// made at the same time. It deletes the keys that verify nothing any more at now.
	AddSigningKey(ctx context.Context, k SigningKey, now fhir.Instant) error
}

// UsedTokens remembers tokens that may be used once (JW-11).
type UsedTokens interface {
	// UseToken notes the use of a token that is valid until a time. It returns [ErrTokenUsed] if
	// the token was used before, or if it is as old as tokens that are forgotten. now is the
	// time of the machine; tokens are forgotten an hour and more after their end.
	UseToken(ctx context.Context, token TokenHash, until, now fhir.Instant) error
}

// TokenHash identifies a token that may be used once.
type TokenHash [sha256.Size]byte

// HashToken returns the hash of a token by who made it and the id that they gave it (jti).
func HashToken(issuer, id string) TokenHash {
	h := sha256.Sum256([]byte(issuer))
	return sha256.Sum256(append(h[:], id...))
}
