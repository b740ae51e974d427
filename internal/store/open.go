package store

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"muster/internal/fhir"
)

// Identity says what a directory is for. It is fixed when the directory is created, except
// for the base URL.
type Identity struct {
	// BaseURL is the public base URL that the operator has given, without a slash at the end.
	// It is empty until then: a default is never stored.
	BaseURL string
	// Former are the base URLs that the directory had before, separated by spaces. Absolute
	// references below them still lead into the directory.
	Former          string
	Mode            string // "authoritative" or "mirror"
	DefinitionsHash string // of the search parameters that the index was built with
	// Rules is the version of the rules by which resources were cleaned before they were
	// stored (policy.RulesVersion). It is empty for a directory that was created by a
	// muster without such rules.
	Rules string
	// Checksummed says that every stored version has a checksum. It is false for a directory
	// that a muster without checksums has written, until it is reindexed.
	Checksummed bool
	// Cascades says that every resource shows the state that it inherits. It is false for a
	// mirror, and for a directory that a muster without cascades has written, until it is
	// reindexed.
	Cascades bool
}

// Options configures how a driver opens a directory.
type Options struct {
	// Now is the clock. Defaults to the clock of the database, which is time.Now for a
	// database that is part of this program.
	Now func() time.Time
	// Create creates the directory if it does not exist. An existing directory must match
	// it.
	Create *Identity
	// Created is called when Create has created the directory. Optional.
	Created func()
	// Expect lists what an existing directory must match; empty fields are ignored. Unlike
	// Create, it never creates a directory.
	Expect Identity
	// Rules returns the rules of the directory, by which writers find and write the states that
	// resources inherit. It is called when the identity of the directory is known, and not for a
	// mirror. Without it, a directory with cascades can only be read.
	Rules func(Identity) (Rules, error)
	// Dependants is how many resources that inherit another state a write makes part of its own
	// transaction. More are written in slices after it. Defaults to 500.
	Dependants int
	// TrustPages reads pages of SQLite that do not match their checksums, in every directory that
	// the process opens: another program has written them. Reindex then writes checksums, if the
	// pages are consistent.
	TrustPages bool
	// SearchDeadline limits the time of a search and of each read for it. Defaults to
	// DefaultSearchDeadline.
	SearchDeadline time.Duration
	// SlowSearches is how many slow searches run at once. Defaults to one for
	// each core except one, and at least to one.
	SlowSearches int
	// SearchWait limits how long a search or a read of a client waits for its turn; then it
	// returns [ErrBusy]. Defaults to DefaultSearchWait.
	SearchWait time.Duration
	// SearchWaited is called with the time that each search and read has waited for its turn,
	// and the name of its lane: read, fast or slow. Several goroutines may call it at once.
	// Optional.
	SearchWaited func(lane string, d time.Duration)
	// Workers is how many tasks of exports read the directory at once. Each has a connection
	// of its own. Defaults to DefaultWorkers.
	Workers int
	// GateWaited is called with the time that each write and each snapshot has waited for
	// the write gate. Several goroutines may call it at once. Optional.
	GateWaited func(time.Duration)
	// GateStalled is called when this process waits for the write gate and its holder has
	// made no progress for [GateStallAfter], and again each minute. It is called with the zero
	// value when the gate was acquired after that. Several goroutines may call it, but not at
	// once. Optional.
	GateStalled func(GateStall)
}

// The default limits of searches.
const (
	DefaultSearchDeadline = 5 * time.Second
	DefaultSearchWait     = 5 * time.Second
)

// DefaultWorkers is how many tasks read the directory at once if the options do not say it.
const DefaultWorkers = 4

// Cores returns how many cores the process may use. GOMAXPROCS is less where the system limits the
// process, and may be more.
func Cores() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// WithDefaults returns the options with the defaults of the limits of searches and exports.
// Other fields are unchanged.
func (o Options) WithDefaults() Options {
	o.SearchDeadline = cmp.Or(o.SearchDeadline, DefaultSearchDeadline)
	o.SearchWait = cmp.Or(o.SearchWait, DefaultSearchWait)
	o.SlowSearches = cmp.Or(o.SlowSearches, max(1, Cores()-1))
	o.Workers = cmp.Or(o.Workers, DefaultWorkers)
	return o
}

// ResolveIdentity returns the identity of a directory: the stored one, or, for a new
// directory (known is false), the one to store (write is true). It returns an error if the
// directory does not match the options.
func (o Options) ResolveIdentity(stored Identity, known bool) (_ Identity, write bool, err error) {
	if !known {
		if o.Create == nil {
			return Identity{}, false, fmt.Errorf("its initialisation was interrupted: run 'muster load' again")
		}
		created := *o.Create
		created.Checksummed, created.Cascades = true, o.Rules != nil && created.Mode != modeMirror
		return created, true, nil
	}
	if o.Create != nil {
		if err := stored.Check(*o.Create); err != nil {
			return Identity{}, false, err
		}
	}
	return stored, false, stored.Check(o.Expect)
}

// modeMirror is the mode of a directory that keeps what another one serves, with its states.
const modeMirror = "mirror"

// defaultDependants is the default of [Options].Dependants: they take about as long as a batch.
const defaultDependants = 500

// FewDependants returns how many dependants a write makes part of its own transaction.
func (o Options) FewDependants() int { return cmp.Or(o.Dependants, defaultDependants) }

// RulesFor returns the rules for the writers of a directory, nil if it has none.
func (o Options) RulesFor(id Identity) (Rules, error) {
	if o.Rules == nil || id.Mode == modeMirror {
		return nil, nil
	}
	return o.Rules(id)
}

// Check compares the identity of a directory with the non-empty fields of want.
func (id Identity) Check(want Identity) error {
	switch {
	case want.Mode != "" && want.Mode != id.Mode:
		return fmt.Errorf("it was created in mode %s, not %s: use another directory, because a directory keeps its mode", id.Mode, want.Mode)
	case want.BaseURL != "" && id.BaseURL != "" && !fhir.SameBase(want.BaseURL, id.BaseURL):
		return fmt.Errorf("its base URL is %s, not %s: use that base URL, or move the directory with 'muster rebase --base-url %[2]s'", id.BaseURL, want.BaseURL)
	}
	if err := id.checkDefinitions(want.DefinitionsHash); err != nil {
		return err
	}
	if err := id.checkRules(want.Rules); err != nil {
		return err
	}
	return id.checkCascades(want.Cascades)
}

// Addresses returns the base URLs at which the directory is and was known. Absolute references
// below them are references into the directory.
func (id Identity) Addresses() []string {
	return slices.Concat(strings.Fields(id.BaseURL), strings.Fields(id.Former))
}

// MovedTo returns the identity with another base URL. The present one becomes a former one, unless
// the new one is the same in another spelling. An empty URL changes nothing.
func (id Identity) MovedTo(baseURL string) Identity {
	if baseURL == "" || baseURL == id.BaseURL {
		return id
	}
	former := slices.DeleteFunc(id.Addresses(), func(u string) bool { return fhir.SameBase(u, baseURL) })
	id.BaseURL, id.Former = baseURL, strings.Join(former, " ")
	return id
}

// MetaRows returns the identity as the keys and values of table meta.
func (id Identity) MetaRows() [][2]string {
	rows := [][2]string{{BaseURLKey, id.BaseURL}, {FormerKey, id.Former}, {"mode", id.Mode}, {"definitions", id.DefinitionsHash}, {rulesKey, id.Rules}}
	if id.Checksummed {
		key, value := ChecksumsRow()
		rows = append(rows, [2]string{key, value})
	}
	if id.Cascades {
		key, value := CascadesRow()
		rows = append(rows, [2]string{key, value})
	}
	return rows
}

// The keys of the rows of table meta that hold the base URL and the former ones.
const (
	BaseURLKey = "base_url"
	FormerKey  = "former_base_urls"
)

// SetMetaRow sets the field that a row of table meta holds. It ignores other rows.
func (id *Identity) SetMetaRow(key, value string) {
	switch key {
	case BaseURLKey:
		id.BaseURL = value
	case FormerKey:
		id.Former = value
	case "mode":
		id.Mode = value
	case "definitions":
		id.DefinitionsHash = value
	case rulesKey:
		id.Rules = value
	case checksumsKey:
		id.Checksummed = true
	case cascadesKey:
		id.Cascades = true
	}
}
