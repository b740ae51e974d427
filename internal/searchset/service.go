package searchset

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"muster/internal/auth"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"
)

// Limits of one search.
const (
	// MaxMatches is how many matches of a search can be paged through (PG-04).
	MaxMatches = 150
	// MaxIncluded is how many resources a page includes beside its matches (TR-08).
	MaxIncluded = 1000
	// MaxSteps is how often the includes with :iterate are applied (TR-08).
	MaxSteps = 10
	// maxBytes is how large the included resources of a page may be together.
	maxBytes = 16 << 20
	// countedUpTo is how far matches are counted when the client does not say.
	countedUpTo = 1000
)

// Store is what the service asks of a store.
type Store interface {
	store.Searcher
	store.Secrets
}

// Config is what a [Service] needs. Fields without "optional" are needed.
type Config struct {
	Store    Store
	Compiler *search.Compiler
	Registry *conformance.Registry
	BaseURL  string // without a slash at the end (D11)
	Rules    policy.SearchRules
	// Suppressed says which clients may learn of suppressed resources; the zero value is
	// the strictest.
	Suppressed policy.SuppressedRules

	Now func() time.Time // optional: time.Now
	// PageLife is how long the link to a page can be followed. Optional: one hour.
	PageLife time.Duration
}

// Service answers searches and reads. Safe for use by several goroutines. Who asks is
// the principal in the context (package auth): links to pages work for the client that
// made the search.
type Service struct {
	Config

	mu     sync.Mutex
	secret []byte // of the tokens; read from the store once
}

// New creates the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.PageLife = cmp.Or(c.PageLife, DefaultPageLife)
	return &Service{Config: c}
}

// Answer is a searchset Bundle.
type Answer struct {
	Body      []byte
	Resources int // matches and included resources in it
}

// Search answers a search of one type; rawQuery is the part of its URL behind the
// question mark. What is wrong with the question is fhir.Issues.
func (s *Service) Search(ctx context.Context, t fhir.Type, rawQuery string) (Answer, error) {
	q, err := s.Compiler.SearchURL(t, rawQuery, s.Rules, s.maySee(ctx))
	if err != nil {
		return Answer{}, err
	}
	found, err := s.Store.Search(ctx, ask(q))
	if err != nil {
		return Answer{}, err
	}
	set := newSet(q, found)
	return s.write(ctx, set, page{self: selfLink(s.BaseURL, q.Text()), count: q.Results.Count, pretty: q.Results.Form.Pretty})
}

// maySee is what the client may learn of suppressed resources.
func (s *Service) maySee(ctx context.Context) policy.Suppressed {
	return s.Suppressed.For(auth.From(ctx).Authenticated())
}

// ask is what a question needs of the store: one match more than can be paged through
// tells that there are more.
func ask(q search.SearchRequest) store.Search {
	one := store.Search{Plan: q.Plan, Order: q.Order, Limit: MaxMatches + 1}
	if q.Results.Form.Summary == search.SummaryCount {
		one.Limit, one.Order, one.Total = 0, nil, -1
		return one
	}
	switch q.Results.Total {
	case search.TotalNone:
	case search.TotalAccurate:
		one.Total = -1
	default:
		one.Total = countedUpTo
	}
	return one
}

// Resource is one resource, read by its id.
type Resource struct {
	Body []byte
	Row  store.Row // version and lastUpdated become headers
}

// Read answers a read; rawQuery is the part of its URL behind the question mark.
// A resource that is not there, or that nobody may see, is [ErrNotFound] (RD-03).
func (s *Service) Read(ctx context.Context, t fhir.Type, id, rawQuery string) (Resource, error) {
	if !fhir.ValidID(id) {
		return Resource{}, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The id of a resource has 1 to 64 letters, digits, '-' and '.': use one from a link or a search."}
	}
	form, err := s.Compiler.ReadURL(t, rawQuery)
	if err != nil {
		return Resource{}, err
	}
	rows, err := s.lookUp(ctx, t, []string{id})
	if err != nil {
		return Resource{}, err
	}
	var read Resource
	for _, row := range rows {
		err = errors.Join(err, s.Store.Bodies(ctx, []store.RowKey{row.Key}, func(row store.Row, line []byte) (err error) {
			if !policy.Readable(row.Visibility) {
				return nil
			}
			read.Row = row
			read.Body, err = reshape(nil, t, line, form)
			return err
		}))
	}
	if err == nil && read.Body == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Resource{}, err
	}
	if form.Pretty {
		read.Body = pretty(read.Body)
	}
	return read, nil
}

// ErrNotFound is the answer to a read of what is not there or may not be seen, which
// are not told apart (RD-03).
var ErrNotFound = fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "There is no such resource in this directory."}
