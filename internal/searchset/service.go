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
	"muster/internal/share"
	"muster/internal/store"
)

// Limits of one search.
const (
	// MaxMatches is the maximum number of matches that paging can reach (PG-04).
	MaxMatches = 150
	// MaxIncluded is the maximum number of included resources of a page (TR-08).
	MaxIncluded = 1000
	// MaxSteps is the maximum number of times that includes with :iterate are applied
	// (TR-08).
	MaxSteps = 10
	// maxBytes is the maximum total size of the included resources of a page.
	maxBytes = 16 << 20
	// defaultTotalLimit is the number up to which matches are counted by default.
	defaultTotalLimit = 1000
)

// Store is the part of a store that the service uses.
type Store interface {
	store.Searcher
	// Reads returns the searcher for reads by id.
	Reads() store.Searcher
	store.Secrets
}

// Config configures a [Service]. All fields are required unless marked optional.
type Config struct {
	Store    Store
	Compiler *search.Compiler
	Registry *conformance.Registry
	BaseURL  string // without a trailing slash (D11)
	Rules    policy.SearchRules
	// Suppressed defines which clients have access to suppressed resources. Optional:
	// the zero value is the strictest.
	Suppressed policy.SuppressedRules

	// Now returns the current time. Optional: defaults to time.Now.
	Now func() time.Time
	// PageLife is how long the link to a page is valid. Optional: defaults to one hour.
	PageLife time.Duration
}

// Service answers searches and reads. The client is the principal in the context
// (package auth); a link to a page works only for the client that made the search. A
// Service is safe for concurrent use.
type Service struct {
	Config

	mu     sync.Mutex
	secret []byte // authenticates and encrypts tokens; read from the store once
}

// New returns a Service.
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
	Resources int // number of matches and included resources
}

// Search returns the first page of a search of one type. rawQuery is the query string of
// its URL. If the search is invalid, the error is fhir.Issues.
func (s *Service) Search(ctx context.Context, t fhir.Type, rawQuery string) (Answer, error) {
	q, err := s.Compiler.SearchURL(t, rawQuery, s.Rules, s.access(ctx, auth.Search))
	if err != nil {
		return Answer{}, err
	}
	found, err := s.Store.Search(ctx, storeSearch(q))
	if err != nil {
		return Answer{}, err
	}
	return s.writePage(ctx, newResultSet(q, found), pageRequest{self: selfLink(s.BaseURL, q.Text()), count: q.Results.Count, pretty: q.Results.Form.Pretty, sizes: sizesOf(found.Rows)})
}

// access returns what the client may learn in an interaction.
func (s *Service) access(ctx context.Context, i auth.Interaction) policy.Access {
	return s.Suppressed.Access(auth.From(ctx), i)
}

// storeSearch returns the search of the store for a request. It reads one match more
// than paging can reach, to detect that there are more.
func storeSearch(q search.SearchRequest) store.Search {
	s := store.Search{Plan: q.Plan, Order: q.Order, Limit: MaxMatches + 1}
	if q.Results.Form.Summary == search.SummaryCount {
		s.Limit, s.Order, s.Total = 0, nil, -1
		return s
	}
	switch q.Results.Total {
	case search.TotalNone:
	case search.TotalAccurate:
		s.Total = -1
	default:
		s.Total = defaultTotalLimit
	}
	return s
}

// Resource is the result of a read.
type Resource struct {
	Body []byte
	Row  store.Row // its version and lastUpdated are sent as headers
}

// Read returns a resource by its id. rawQuery is the query string of the URL. Read
// returns [ErrNotFound] if the resource does not exist or is not visible (RD-03), and a fhir.Issue
// with the code forbidden if the token of the client does not cover its type or, for a Provenance,
// what it is about (AU-02, AU-03).
func (s *Service) Read(ctx context.Context, t fhir.Type, id, rawQuery string) (Resource, error) {
	if !fhir.ValidID(id) {
		return Resource{}, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The id of a resource consists of 1 to 64 letters, digits, '-' and '.': use an id from a link or a search."}
	}
	may := s.access(ctx, auth.Read)
	if err := may.Check(fhir.TypesOf(t)); err != nil {
		return Resource{}, err
	}
	form, err := s.Compiler.ReadURL(t, rawQuery)
	if err != nil {
		return Resource{}, err
	}
	reads := s.Store.Reads()
	rows, err := s.lookUpVisible(ctx, reads, t, []string{id}, may.Types)
	if err == nil && len(rows) == 0 && t == fhir.Provenance {
		err = s.checkTargets(ctx, reads, id, may)
	}
	if err != nil {
		return Resource{}, err
	}
	var read Resource
	for _, row := range rows {
		size := row.Size + entryBytes
		if form.Pretty {
			size *= prettyFactor
		}
		if err := share.Reserve(ctx, size); err != nil {
			return Resource{}, err
		}
		err = errors.Join(err, reads.Bodies(ctx, []store.RowKey{row.Key}, func(row store.Row, line []byte) (err error) {
			if !policy.Readable(row.Visibility) {
				return nil
			}
			read.Row = row
			read.Body, err = represent(nil, t, line, form)
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

// checkTargets returns why a client may not read a Provenance that others see: its token does not
// cover what the Provenance is about.
func (s *Service) checkTargets(ctx context.Context, reads store.Searcher, id string, may policy.Access) error {
	rows, err := s.lookUpVisible(ctx, reads, fhir.Provenance, []string{id}, fhir.AllTypes())
	if err != nil || len(rows) == 0 {
		return err
	}
	target, _ := s.Registry.Param(fhir.Provenance, "target")
	references, err := reads.References(ctx, []store.RowKey{rows[0].Key}, target.ID)
	if err != nil {
		return err
	}
	var about fhir.TypeSet
	for _, r := range references {
		about |= fhir.TypesOf(r.Type)
	}
	if may.Types.Covers(about) { // another target has no type, so it may be of any
		about = fhir.AllTypes()
	}
	return may.Check(about)
}

// ErrNotFound is returned by a read of a resource that does not exist or is not visible.
// Clients cannot distinguish the two (RD-03).
var ErrNotFound = fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "There is no such resource in this directory."}
