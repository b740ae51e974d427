package store

import (
	"fmt"
	"time"
)

// Identity says what a directory is for. It is fixed when the directory is made,
// but for a base URL that is not known yet.
type Identity struct {
	BaseURL         string // public base URL; absolute references below it are indexed; may be empty
	Mode            string // "authoritative" or "mirror"
	DefinitionsHash string // of the search parameters that the index was built by
	// Rules identify what was taken out of the resources before they were stored
	// (policy.RulesVersion). Empty for a directory of a muster that had no such rules.
	Rules string
}

// Options are the settings of opening a directory, whatever its database.
type Options struct {
	// Now is the clock; nil means the one of the database: time.Now, where that is
	// part of this program.
	Now func() time.Time
	// Create makes the directory if there is none. If there is one, it must be as
	// Create says.
	Create *Identity
	// Expect lists what an existing directory must be; empty fields are not looked
	// at. Unlike Create it makes nothing.
	Expect Identity
	// Deadline ends a selection that runs longer; 0 means ten minutes.
	Deadline time.Duration
	// SearchDeadline ends a search, or a reading for one, that runs longer; 0 means
	// five seconds.
	SearchDeadline time.Duration
	// GateWaited is told how long each write and each snapshot has waited for the write
	// gate. Optional; called by several goroutines at once.
	GateWaited func(time.Duration)
}

// How long a selection and a search may take.
const (
	DefaultDeadline       = 10 * time.Minute
	DefaultSearchDeadline = 5 * time.Second
)

// Establish says what a directory is of which found was read, or that is new
// (known is false): found, or what must be written as that. A directory that is not
// as the caller wants is an error.
func (o Options) ResolveIdentity(found Identity, known bool) (_ Identity, write bool, err error) {
	if !known {
		if o.Create == nil {
			return Identity{}, false, fmt.Errorf("its making was interrupted: run 'muster load' on it")
		}
		return *o.Create, true, nil
	}
	if o.Create != nil {
		if err := found.Check(*o.Create); err != nil {
			return Identity{}, false, err
		}
	}
	return found, false, found.Check(o.Expect)
}

// Check compares the fields that want holds with what was found.
func (found Identity) Check(want Identity) error {
	switch {
	case want.Mode != "" && want.Mode != found.Mode:
		return fmt.Errorf("it was made in mode %s, and mode %s is asked for: a directory keeps its mode, so use another directory", found.Mode, want.Mode)
	case want.BaseURL != "" && found.BaseURL != "" && want.BaseURL != found.BaseURL:
		return fmt.Errorf("it is served at the base URL %s, and %s is asked for: set that base URL, or load the data into a new directory", found.BaseURL, want.BaseURL)
	}
	if err := found.checkDefinitions(want.DefinitionsHash); err != nil {
		return err
	}
	return found.checkRules(want.Rules)
}

// Meta are the rows of table meta for the info, as key and value.
func (info Identity) MetaRows() [][2]string {
	return [][2]string{{"base_url", info.BaseURL}, {"mode", info.Mode}, {"definitions", info.DefinitionsHash}, {rulesKey, info.Rules}}
}

// SetMeta takes one row of table meta.
func (info *Identity) SetMetaRow(key, value string) {
	switch key {
	case "base_url":
		info.BaseURL = value
	case "mode":
		info.Mode = value
	case "definitions":
		info.DefinitionsHash = value
	case rulesKey:
		info.Rules = value
	}
}
