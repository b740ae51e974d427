package export

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// checkSince returns a [store.SinceUnknown] error if the directory cannot say what has changed
// since. It is called at the kick-off, and again in each selection: removals may have been swept
// in between. Those that a live job needs are not.
func (s *Service) checkSince(ctx context.Context, r Request) error {
	if !r.updatesCopy() {
		return nil
	}
	horizon, err := s.Store.Horizon(ctx)
	if err != nil {
		return err
	}
	return horizon.Check(*r.Since)
}

// refusedSince returns the error of a kick-off for an error of checkSince.
func refusedSince(err error) error {
	if unknown, ok := errors.AsType[store.SinceUnknown](err); ok {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: unknown.Error(), Expression: "Parameters.parameter.where(name = '_since')"}
	}
	return fmt.Errorf("start an export: %w", err)
}

// lostSince is the error of a job whose _since was answered when it was kicked off.
type lostSince struct{ store.SinceUnknown }

// ClientText returns the same text as for a kick-off.
func (e lostSince) ClientText() string { return e.Error() }

// needsRemovals returns the time after which an export needs all removals, [fhir.Forever] if it
// needs none. An export whose stored request is damaged fails soon; until then, it needs all.
func needsRemovals(request []byte) fhir.Instant {
	stored, err := readStored(request)
	switch {
	case err != nil:
		return fhir.Always
	case !Request{Since: stored.Since}.updatesCopy():
		return fhir.Forever
	}
	return *stored.Since
}

// sweepRemovals forgets the removals that are older than KeepRemovals, and the changes of their
// time.
func (s *Service) sweepRemovals(ctx context.Context) error {
	if s.KeepRemovals == 0 {
		return nil
	}
	swept, err := SweepRemovals(ctx, s.Store, s.now()-milliseconds(s.KeepRemovals))
	if swept > 0 {
		s.Logger.Info("old removals forgotten: an export with an earlier _since is refused", "count", swept)
	}
	return err
}

// SweepRemovals forgets the removals before a time that no live export needs, and the entries of
// the change log before it. It returns the number of removals.
func SweepRemovals(ctx context.Context, directory store.Store, before fhir.Instant) (int64, error) {
	swept, err := directory.SweepRemovals(ctx, store.Sweep{Before: before, Needs: needsRemovals})
	if err != nil {
		return swept, err
	}
	_, err = directory.SweepLog(ctx, before)
	return swept, err
}
