package check

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// versionRows is the number of old versions or tombstones in one read.
const versionRows = 1000

// checkOldVersions checks the table history.
func (k *checker) checkOldVersions(ctx context.Context) error {
	clock, err := k.Store.Clock(ctx)
	if err != nil {
		return err
	}
	var after store.OldVersion
	var unneeded int64
	for {
		versions, err := k.Store.OldVersions(ctx, after.Key, after.Version, versionRows)
		if err != nil {
			return err
		}
		for n := range versions {
			v := &versions[n]
			if n == 0 && len(versions) == versionRows || v.Superseded > clock {
				if clock, err = k.Store.Clock(ctx); err != nil { // it advances while we read
					return err
				}
			}
			k.oldVersion(v, clock)
			if !k.needed(v) {
				unneeded++
			}
		}
		k.OldVersions += int64(len(versions))
		k.advance(int64(len(versions)))
		if len(versions) < versionRows {
			break
		}
		after = versions[len(versions)-1]
	}
	if unneeded > 0 {
		k.leftover("history", "history", plural(unneeded, "old version", "old versions")+" that no job needs")
	}
	return nil
}

func (k *checker) oldVersion(v *store.OldVersion, clock fhir.Instant) {
	place := fmt.Sprintf("version %d of the %v with row key %d", v.Version, v.Key.Type(), v.Key)
	if v.Committed >= v.Superseded {
		k.finding("history", place, fmt.Sprintf("it was committed at %v, but superseded at %v, which is not later", v.Committed, v.Superseded), remedyExport)
	}
	if v.Superseded > clock {
		k.finding("clock", place, fmt.Sprintf("it was superseded at %v, after the clock of the directory, %v", v.Superseded, clock), remedyRestore)
	}
	if v.Current > 0 && v.Current <= v.Version {
		k.finding("history", place, fmt.Sprintf("it is not older than the current version, %d", v.Current), remedyRestore)
	}
	if v.Checksum.Present && v.Verify(v.Body, v.Checksum) != nil {
		k.finding("checksum", place, "its row and its body do not match its checksum: an export that needs it fails", remedyExport)
	}
	if want := int64(len(v.Body)) + 1; v.Size != want {
		k.finding("history", place, fmt.Sprintf("its row says %d bytes, but its line has %d", v.Size, want), remedyExport)
	}
	if said := fastjson.GetString(v.Body, "meta", "versionId"); said != fmt.Sprint(v.Version) {
		k.finding("history", place, fmt.Sprintf("its body says that it is version %q", said), remedyExport)
	}
}

// needed reports whether a job that is live, or was until recently, has a transaction
// time at which the version was current. Jobs that started after the listing do not need
// a version that was superseded before it.
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

// checkTombstones checks the tombstones of removed resources.
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
		for _, tombstone := range found {
			place := fmt.Sprintf("tombstone of version %d of %v/%s", tombstone.Version, tombstone.Type, tombstone.ID)
			if tombstone.KeyInUse {
				k.finding("tombstone", place, fmt.Sprintf("its row key %d is used by an existing resource: a job could export the wrong one", tombstone.Key), remedyRestore)
			}
			if tombstone.Key.Type() != tombstone.Type {
				k.finding("tombstone", place, fmt.Sprintf("its row key %d belongs to type %v", tombstone.Key, tombstone.Key.Type()), remedyRestore)
			}
			if tombstone.Current > 0 && tombstone.Current <= tombstone.Version {
				k.finding("tombstone", place, fmt.Sprintf("the resource exists again with version %d, which is not higher: one version id has two contents", tombstone.Current), remedyRestore)
			}
			if tombstone.Committed > clock {
				k.finding("clock", place, fmt.Sprintf("it was committed at %v, after the clock of the directory, %v", tombstone.Committed, clock), remedyRestore)
			}
		}
		k.Tombstones += int64(len(found))
		k.advance(int64(len(found)))
		if len(found) < versionRows {
			return nil
		}
		after = found[len(found)-1]
	}
}
