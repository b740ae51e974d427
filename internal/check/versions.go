package check

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// versionRows is how many old versions or tombstones are read at a time.
const versionRows = 1000

// checkOldVersions goes through history.
func (k *checker) checkOldVersions(ctx context.Context) error {
	clock, err := k.Store.Clock(ctx)
	if err != nil {
		return err
	}
	var after store.OldVersion
	var idle int64
	for {
		versions, err := k.Store.OldVersions(ctx, after.Key, after.Version, versionRows)
		if err != nil {
			return err
		}
		for n := range versions {
			v := &versions[n]
			if n == 0 && len(versions) == versionRows || v.Superseded > clock {
				if clock, err = k.Store.Clock(ctx); err != nil { // it goes on while we read
					return err
				}
			}
			k.oldVersion(v, clock)
			if !k.needed(v) {
				idle++
			}
		}
		k.OldVersions += int64(len(versions))
		k.progress(int64(len(versions)))
		if len(versions) < versionRows {
			break
		}
		after = versions[len(versions)-1]
	}
	if idle > 0 {
		k.leftover("history", "history", plural(idle, "old version", "old versions")+" that no job needs any more")
	}
	return nil
}

func (k *checker) oldVersion(v *store.OldVersion, clock fhir.Instant) {
	place := fmt.Sprintf("version %d of the %v with row key %d", v.Version, v.Key.Type(), v.Key)
	if v.Committed >= v.Superseded {
		k.finding("history", place, fmt.Sprintf("it was committed at %v and superseded at %v, which is not later", v.Committed, v.Superseded), remedyExport)
	}
	if v.Superseded > clock {
		k.finding("clock", place, fmt.Sprintf("it was superseded at %v, after the clock of the directory, %v", v.Superseded, clock), remedyRestore)
	}
	if v.Current > 0 && v.Current <= v.Version {
		k.finding("history", place, fmt.Sprintf("it is not older than the current version, %d", v.Current), remedyRestore)
	}
	if want := int64(len(v.Body)) + 1; v.Size != want {
		k.finding("history", place, fmt.Sprintf("its row says %d bytes, and its line has %d", v.Size, want), remedyExport)
	}
	if said := fastjson.GetString(v.Body, "meta", "versionId"); said != fmt.Sprint(v.Version) {
		k.finding("history", place, fmt.Sprintf("its body says it is version %q", said), remedyExport)
	}
}

// needed reports whether a job that lives, or did a moment ago, has a transaction
// time at which the version was the current one. Jobs that came after they were
// listed need no version that was superseded well before.
func (k *checker) needed(v *store.OldVersion) bool {
	if v.Superseded > k.graceStart() {
		return true
	}
	for _, j := range k.jobs {
		if j.needsVersions && j.time >= v.Committed && j.time < v.Superseded {
			return true
		}
	}
	return false
}

// checkTombstones goes through what was removed.
func (k *checker) checkTombstones(ctx context.Context) error {
	var after store.Tombstone
	for {
		found, err := k.Store.Tombstones(ctx, after, versionRows)
		if err != nil {
			return err
		}
		clock, err := k.Store.Clock(ctx)
		if err != nil {
			return err
		}
		for _, b := range found {
			place := fmt.Sprintf("tombstone of version %d of %v/%s", b.Version, b.Type, b.ID)
			if b.KeyInUse {
				k.finding("tombstone", place, fmt.Sprintf("its row key %d is that of a resource that is there: a job could export the wrong one", b.Key), remedyRestore)
			}
			if b.Key.Type() != b.Type {
				k.finding("tombstone", place, fmt.Sprintf("its row key %d is one of %v", b.Key, b.Key.Type()), remedyRestore)
			}
			if b.Current > 0 && b.Current <= b.Version {
				k.finding("tombstone", place, fmt.Sprintf("the resource is there again with version %d, which is not after it: one version id has two contents", b.Current), remedyRestore)
			}
			if b.Committed > clock {
				k.finding("clock", place, fmt.Sprintf("it was committed at %v, after the clock of the directory, %v", b.Committed, clock), remedyRestore)
			}
		}
		k.Tombstones += int64(len(found))
		k.progress(int64(len(found)))
		if len(found) < versionRows {
			return nil
		}
		after = found[len(found)-1]
	}
}
