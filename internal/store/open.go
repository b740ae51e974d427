package store

import (
	"fmt"
	"time"
)

// Identity says what a directory is for. It is fixed when the directory is created, except
// for a base URL that is not known yet.
type Identity struct {
	BaseURL         string // public base URL; absolute references below it are indexed; may be empty
	Mode            string // "authoritative" or "mirror"
	DefinitionsHash string // of the search parameters that the index was built with
	// Rules is the version of the rules by which resources were cleaned before they were
	// stored (policy.RulesVersion). It is empty for a directory that was created by a
	// muster without such rules.
	Rules string
}

// Options configures how a driver opens a directory.
type Options struct {
	// Now is the clock. Defaults to the clock of the database, which is time.Now for a
	// database that is part of this program.
	Now func() time.Time
	// Create creates the directory if it does not exist. An existing directory must match
	// it.
	Create *Identity
	// Expect lists what an existing directory must match; empty fields are ignored. Unlike
	// Create, it never creates a directory.
	Expect Identity
	// Deadline limits the time of a selection. Defaults to DefaultDeadline.
	Deadline time.Duration
	// SearchDeadline limits the time of a search and of each read for it. Defaults to
	// DefaultSearchDeadline.
	SearchDeadline time.Duration
	// GateWaited is called with the time that each write and each snapshot has waited for
	// the write gate. Several goroutines may call it at once. Optional.
	GateWaited func(time.Duration)
}

// The default limits of selections and searches.
const (
	DefaultDeadline       = 10 * time.Minute
	DefaultSearchDeadline = 5 * time.Second
)

// ResolveIdentity returns the identity of a directory: the stored one, or, for a new
// directory (known is false), the one to store (write is true). It returns an error if the
// directory does not match the options.
func (o Options) ResolveIdentity(stored Identity, known bool) (_ Identity, write bool, err error) {
	if !known {
		if o.Create == nil {
			return Identity{}, false, fmt.Errorf("its initialisation was interrupted: run 'muster load' again")
		}
		return *o.Create, true, nil
	}
	if o.Create != nil {
		if err := stored.Check(*o.Create); err != nil {
			return Identity{}, false, err
		}
	}
	return stored, false, stored.Check(o.Expect)
}

// Check compares the identity of a directory with the non-empty fields of want.
func (id Identity) Check(want Identity) error {
	switch {
	case want.Mode != "" && want.Mode != id.Mode:
		return fmt.Errorf("it was created in mode %s, not %s: use another directory, because a directory keeps its mode", id.Mode, want.Mode)
	case want.BaseURL != "" && id.BaseURL != "" && want.BaseURL != id.BaseURL:
		return fmt.Errorf("its base URL is %s, not %s: set that base URL, or load the data into a new directory", id.BaseURL, want.BaseURL)
	}
	if err := id.checkDefinitions(want.DefinitionsHash); err != nil {
		return err
	}
	return id.checkRules(want.Rules)
}

// MetaRows returns the identity as the keys and values of table meta.
func (id Identity) MetaRows() [][2]string {
	return [][2]string{{"base_url", id.BaseURL}, {"mode", id.Mode}, {"definitions", id.DefinitionsHash}, {rulesKey, id.Rules}}
}

// SetMetaRow sets the field that a row of table meta holds. It ignores other rows.
func (id *Identity) SetMetaRow(key, value string) {
	switch key {
	case "base_url":
		id.BaseURL = value
	case "mode":
		id.Mode = value
	case "definitions":
		id.DefinitionsHash = value
	case rulesKey:
		id.Rules = value
	}
}
