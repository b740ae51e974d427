package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"muster/internal/auth/fetch"
	"muster/internal/regularfile"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// The times of a [Source].
const (
	// retryAfter is the pause after a fetch that has failed.
	retryAfter = 5 * time.Second
	// staleWait is how long a token waits for new keys if the ones of before may still be used.
	staleWait = 500 * time.Millisecond
	// A server that forbids to keep its keys is asked for each token, up to fetchBurst times at
	// once and once each fetchEvery. Beyond that its keys are at most fetchEvery old.
	fetchEvery = time.Second
	fetchBurst = 10
	// A key that is not in the set causes a fetch, up to unknownBurst times at once and once each
	// unknownEvery.
	unknownEvery = 10 * time.Second
	unknownBurst = 3
	// fileLife is the time after which a file is read again.
	fileLife = time.Minute
)

// IssuerStale is how long the keys of an issuer that the operator names are used after their time,
// while it is down.
const IssuerStale = time.Hour

// Load reads the document of a set of keys, and says for how long it may be kept.
type Load func(ctx context.Context) (document []byte, life time.Duration, err error)

// FromURL returns the Load of a URL.
func FromURL(c *fetch.Client, url string) Load {
	return func(ctx context.Context) ([]byte, time.Duration, error) {
		answer, err := c.Get(ctx, url)
		return answer.Body, answer.Life, err
	}
}

// FromFile returns the Load of a file. It is read again each minute, and for a key that is not in it.
func FromFile(path string) Load {
	return func(context.Context) ([]byte, time.Duration, error) {
		file, err := regularfile.Open(path)
		if err != nil {
			return nil, 0, err
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
		return text, fileLife, err
	}
}

// Options configures a [Source].
type Options struct {
	Name string // of the issuer or client, for the log
	Load Load
	// Stale is how long keys are used after their time if there are no newer ones (RG-06 allows none
	// for clients). Defaults to 0.
	Stale  time.Duration
	Now    func() time.Time // the clock of the machine
	Logger *slog.Logger
}

// Source has the keys of an issuer or a client (RG-06, RG-08). It is safe for concurrent use.
type Source struct {
	Options
	flight  singleflight.Group
	fetches *rate.Limiter
	unknown *rate.Limiter

	mu      sync.Mutex
	set     *Set
	until   time.Time // when set was to be fetched again
	retry   time.Time // when the next fetch may begin, after failures
	failure error     // of the last fetch
}

// NewSource returns a source. It fetches nothing yet.
func NewSource(o Options) *Source {
	return &Source{Options: o,
		fetches: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst), unknown: rate.NewLimiter(rate.Every(unknownEvery), unknownBurst)}
}

// Find is [Set.Find] for the present keys. Errors other than [ErrUnknown] and [ErrAmbiguous] mean that
// these are not available.
func (s *Source) Find(ctx context.Context, id string, algorithm jose.SignatureAlgorithm) (crypto.PublicKey, error) {
	set, fetched, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	found, err := set.Find(id, algorithm)
	if !errors.Is(err, ErrUnknown) || fetched || !s.unknown.AllowN(s.Now(), 1) {
		return found, err
	}
	// The key may be new.
	if set, err = s.fetch(ctx); err != nil {
		return nil, err
	}
	return set.Find(id, algorithm)
}

// Refresh fetches the keys if they are not present. It returns why they are not available.
func (s *Source) Refresh(ctx context.Context) error {
	_, _, err := s.current(ctx)
	return err
}

// current returns the keys, and whether they were fetched just now.
func (s *Source) current(ctx context.Context) (*Set, bool, error) {
	s.mu.Lock()
	now := s.Now()
	set, fresh, failure := s.set, s.set != nil && now.Before(s.until), s.failure
	usable := s.set != nil && now.Before(s.until.Add(s.Stale))
	pause := now.Before(s.retry)
	s.mu.Unlock()
	switch {
	case fresh || pause && usable:
		return set, false, nil
	case pause:
		return nil, false, failure
	case usable:
		waiting, cancel := context.WithTimeout(ctx, staleWait)
		defer cancel()
		if newer, err := s.fetch(waiting); err == nil {
			return newer, true, nil
		}
		return set, false, nil
	}
	set, err := s.fetch(ctx)
	return set, true, err
}

// fetch fetches the keys. Callers at the same time share one fetch, which continues if they end.
func (s *Source) fetch(ctx context.Context) (*Set, error) {
	done := s.flight.DoChan("", func() (any, error) { return s.load(context.WithoutCancel(ctx)) })
	select {
	case r := <-done:
		set, _ := r.Val.(*Set)
		return set, r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the keys of %s: %w", s.Name, context.Cause(ctx))
	}
}

// load fetches the keys and stores them.
func (s *Source) load(ctx context.Context) (*Set, error) {
	s.mu.Lock()
	now, set := s.Now(), s.set
	wait := now.Before(s.retry)
	failure := s.failure
	s.mu.Unlock()
	if wait {
		return nil, failure
	}
	if !s.fetches.AllowN(now, 1) && set != nil {
		return set, nil
	}
	document, life, err := s.Load(ctx)
	if err == nil {
		set, err = Parse(document)
	}
	if err != nil {
		return nil, s.failed(fmt.Errorf("fetch the keys of %s: %w", s.Name, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		s.Logger.Info("the keys are available again", "of", s.Name)
	}
	if len(set.Skipped) > 0 && (s.set == nil || len(s.set.Skipped) != len(set.Skipped)) {
		s.Logger.Warn("keys are not used", "of", s.Name, "why", errors.Join(set.Skipped...))
	}
	// The time begins when the fetch did: the server may have changed its keys since.
	s.set, s.until, s.failure = set, now.Add(life), nil
	return set, nil
}

// failed notes that a fetch has failed.
func (s *Source) failed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.Logger.Warn("cannot fetch keys: known keys remain in use for a while", "of", s.Name, "error", err, "while", s.Stale)
	}
	s.failure, s.retry = err, s.Now().Add(retryAfter)
	return err
}
