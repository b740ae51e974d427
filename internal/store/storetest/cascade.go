package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"pgregory.net/rapid"
)

// OpenCascade opens a store in a folder with options, as [OpenStore] does. The folder of a test is
// always the same directory.
type OpenCascade func(t testing.TB, dir string, o store.Options) (IndexerStore, error)

// Cascade runs the suite of states that resources inherit. The driver must have the failpoints
// directory.cascade.commit and directory.cascade.committed.
func Cascade(t *testing.T, open OpenCascade) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenCascade)
	}{
		{"RandomChangesMatchTheModel", testRandomCascades},
		{"RandomSlicesMatchTheModel", testRandomSlices},
		{"DependantsAmongTheChanges", testChangedDependants},
		{"PendingIsHiddenFromEveryReader", testPending},
		{"KilledCascadeIsFinishedByOthers", testKilledCascade},
		{"ApplyAllHidesDependantsAtOnce", testApplyAllCascade},
		{"NoSnapshotWhilePending", testSnapshotAwaitsCascade},
		{"NoCascadeBeforeAWaitingSnapshot", testSnapshotBeforeNextCascade},
		{"OlderDirectoryIsReindexed", testReindexCascades},
		{"SweepRecordsWhatItForgets", testSweepOfOwners},
		{"WriterNeedsRules", testWriterNeedsRules},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// The relations of the test, whose resources name what they refer to in their text:
// "state=2 organization=o practitioner=p endpoint=e,f target=Location/l".
var cascadeRelations = []store.Relation{
	{Kind: store.BelongsTo, From: fhir.Location, Param: 1, To: fhir.Organization},
	{Kind: store.BelongsTo, From: fhir.PractitionerRole, Param: 2, To: fhir.Organization},
	{Kind: store.BelongsTo, From: fhir.PractitionerRole, Param: 3, To: fhir.Practitioner},
	{Kind: store.BelongsTo, From: fhir.Endpoint, Param: 4, To: fhir.Organization},
	{Kind: store.Uses, From: fhir.Location, Param: 5, To: fhir.Endpoint},
	{Kind: store.Uses, From: fhir.PractitionerRole, Param: 6, To: fhir.Endpoint},
	{Kind: store.IsAbout, From: fhir.Provenance, Param: 7, To: fhir.Organization},
	{Kind: store.IsAbout, From: fhir.Provenance, Param: 7, To: fhir.Location},
	{Kind: store.IsAbout, From: fhir.Provenance, Param: 7, To: fhir.Endpoint},
	{Kind: store.IsAbout, From: fhir.Provenance, Param: 7, To: fhir.Practitioner},
	{Kind: store.IsAbout, From: fhir.Provenance, Param: 7, To: fhir.PractitionerRole},
}

// inheritsParam is the parameter of the entry that shows what a resource inherits.
const inheritsParam = 9

// cascadeRules are rules for the resources of the test. A document shows what it inherits as a
// number before its text.
type cascadeRules struct{}

func (cascadeRules) Relations() []store.Relation { return cascadeRelations }

func (cascadeRules) Inherit(owners []store.Owner, users []index.Visibility) (state index.Visibility) {
	for _, o := range owners {
		state |= o.State & index.Inactive
		if o.State&(index.Suppressed|index.HidesDependants) != 0 {
			state |= index.Suppressed
		}
	}
	all := index.Visibility(0)
	for _, u := range users {
		if u == 0 {
			return state
		}
		all |= u
	}
	return state | all
}

func (cascadeRules) Compose(t fhir.Type, id string, own store.Document, inherited index.Visibility) (store.Document, []index.Entry, error) {
	tail := string(own.Tail)
	text := strings.TrimSuffix(strings.TrimPrefix(tail, `},"text":"`), `"}`)
	entries := cascadeEntries(t, text)
	if inherited != 0 {
		entries = append(entries, index.Entry{Kind: index.Token, Param: inheritsParam, Code: strconv.Itoa(int(inherited))})
		own.Tail = []byte(shownTail(text, inherited))
	}
	return own, entries, nil
}

func (r cascadeRules) Recompose(t fhir.Type, id string, own store.Document, before, after index.Visibility) (store.Document, index.Difference, error) {
	_, was, _ := r.Compose(t, id, own, before)
	shown, now, _ := r.Compose(t, id, own, after)
	return shown, index.Compare(was, now), nil
}

// shownTail returns the end of a document with what it inherits.
func shownTail(text string, inherited index.Visibility) string {
	if inherited == 0 {
		return fmt.Sprintf(`},"text":"%s"}`, text)
	}
	return fmt.Sprintf(`},"inherits":%d,"text":"%s"}`, inherited, text)
}

// cascadeEntries returns the entries of a resource with the text.
func cascadeEntries(t fhir.Type, text string) []index.Entry {
	entries := []index.Entry{{Kind: index.Token, Param: 8, Code: "any"}}
	add := func(param int, to fhir.Type, id string) {
		entries = append(entries, index.Entry{Kind: index.Reference, Param: param, System: to.String(), Code: id})
	}
	for _, r := range cascadeRelations {
		if r.From != t {
			continue
		}
		for _, id := range cascadeTargets(text, r) {
			add(r.Param, r.To, id)
		}
	}
	return entries
}

// cascadeTargets returns the ids to which a text refers by a relation.
func cascadeTargets(text string, r store.Relation) (ids []string) {
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case r.Kind == store.IsAbout && name == "target":
			if typeName, id, _ := strings.Cut(value, "/"); typeName == r.To.String() {
				ids = append(ids, id)
			}
		case r.Kind != store.IsAbout && name == strings.ToLower(r.To.String()):
			ids = append(ids, strings.Split(value, ",")...)
		}
	}
	return ids
}

// cascadeState returns the own state that a text says.
func cascadeState(text string) (state index.Visibility) {
	_, _ = fmt.Sscanf(text, "state=%d", &state)
	return state
}

func putCascade(t fhir.Type, id, text string) store.Change {
	c := put(t, id, text, cascadeEntries(t, text)...)
	c.Visibility = cascadeState(text)
	return c
}

// cascadeName identifies a resource of the test.
type cascadeName struct {
	Type fhir.Type
	ID   string
}

// cascadeWorld is the model: the texts of all resources and of the removed ones. Everything else
// follows from them.
type cascadeWorld struct{ present, gone map[cascadeName]string }

func newCascadeWorld() *cascadeWorld {
	return &cascadeWorld{map[cascadeName]string{}, map[cascadeName]string{}}
}

func (w *cascadeWorld) apply(c store.Change, text string) {
	n := cascadeName{c.Type, c.ID}
	if c.Remove {
		if last, ok := w.present[n]; ok {
			w.gone[n] = last
			delete(w.present, n)
		}
		return
	}
	w.present[n] = text
	delete(w.gone, n)
}

// inherited computes what a resource with the text inherits.
func (w *cascadeWorld) inherited(n cascadeName, text string) index.Visibility {
	var owners []store.Owner
	var users []index.Visibility
	for _, r := range cascadeRelations {
		if r.Kind == store.BelongsTo && r.From == n.Type {
			for _, id := range cascadeTargets(text, r) {
				owner := cascadeName{r.To, id}
				if of, ok := w.present[owner]; ok {
					owners = append(owners, store.Owner{Type: r.To, State: cascadeState(of)})
				} else if of, ok := w.gone[owner]; ok {
					owners = append(owners, store.Owner{Type: r.To, State: cascadeState(of)})
				}
			}
		}
		if r.Kind == store.Uses && r.To == n.Type {
			for user, of := range w.present {
				if user.Type == r.From && slices.Contains(cascadeTargets(of, r), n.ID) {
					users = append(users, w.state(user, of))
				}
			}
			for user, of := range w.gone {
				if user.Type == r.From && slices.Contains(cascadeTargets(of, r), n.ID) && w.state(user, of) != 0 {
					users = append(users, w.state(user, of))
				}
			}
		}
	}
	return cascadeRules{}.Inherit(owners, users)
}

func (w *cascadeWorld) state(n cascadeName, text string) index.Visibility {
	return (cascadeState(text) | w.inherited(n, text)) & index.Hidden
}

// cascadeView is what is stored of a resource.
type cascadeView struct {
	state index.Visibility
	tail  string
}

func (w *cascadeWorld) view() map[cascadeName]cascadeView {
	view := map[cascadeName]cascadeView{}
	for n, text := range w.present {
		view[n] = cascadeView{w.state(n, text), shownTail(text, w.inherited(n, text))}
	}
	return view
}

// cascadeDirectory is a store with rules.
type cascadeDirectory struct {
	directory
	store  IndexerStore
	folder string
	open   OpenCascade
	prefix string // of the ids of a run
}

func newCascadeDirectory(t testing.TB, open OpenCascade, dependants int) *cascadeDirectory {
	t.Helper()
	d := &cascadeDirectory{folder: t.TempDir(), open: open}
	d.directory = directory{TB: t, clock: newClock()}
	d.store = d.reopen(dependants)
	d.Store = d.store
	return d
}

// reopen opens the store once more, as another process does.
func (d *cascadeDirectory) reopen(dependants int) IndexerStore {
	d.Helper()
	s, err := d.open(d.TB, d.folder, store.Options{
		Now: d.clock.now, Dependants: dependants, SearchDeadline: time.Minute,
		Rules: func(store.Identity) (store.Rules, error) { return cascadeRules{}, nil },
	})
	d.must(err)
	return s
}

// stored returns what is stored of all resources, with their versions.
func (d *cascadeDirectory) stored() (view map[cascadeName]cascadeView, versions map[cascadeName]store.Row) {
	d.Helper()
	view, versions = map[cascadeName]cascadeView{}, map[cascadeName]store.Row{}
	for _, t := range fhir.Types() {
		found, err := d.Search(d.Context(), store.Search{Plan: plan.Plan{Type: t, Root: plan.And{}}, Limit: 10_000})
		d.must(err)
		d.must(d.Bodies(d.Context(), rowKeys(found.Rows), func(row store.Row, line []byte) error {
			document, ok := row.Document(line)
			if !ok {
				d.Errorf("%v/%s: the line %s", t, row.ID, line)
			}
			if n := (cascadeName{t, row.ID}); strings.HasPrefix(row.ID, d.prefix) {
				view[n], versions[n] = cascadeView{row.Visibility, string(document.Tail)}, row
			}
			return nil
		}))
	}
	return view, versions
}

func rowKeys(rows []store.Row) (keys []store.RowKey) {
	for _, r := range rows {
		keys = append(keys, r.Key)
	}
	return keys
}

// wantStored compares what is stored with the model, and returns the rows.
func (d *cascadeDirectory) wantStored(w *cascadeWorld) map[cascadeName]store.Row {
	d.Helper()
	got, rows := d.stored()
	if want := w.view(); !maps.Equal(got, want) {
		for n, v := range want {
			if got[n] != v {
				d.Errorf("%v/%s is %+v, want %+v", n.Type, n.ID, got[n], v)
			}
		}
		d.Fatalf("the store has %d resources, the model %d", len(got), len(want))
	}
	d.wantIndexed(w)
	return rows
}

// wantIndexed compares the index with what the resources inherit.
func (d *cascadeDirectory) wantIndexed(w *cascadeWorld) {
	d.Helper()
	want := map[fhir.Type]map[index.Visibility]int{fhir.Location: {}, fhir.PractitionerRole: {}, fhir.Endpoint: {}}
	for n, text := range w.present {
		if inherited := w.inherited(n, text); inherited != 0 {
			want[n.Type][inherited]++
		}
	}
	for t := range want {
		for inherited := index.Inactive; inherited <= index.Hidden; inherited++ {
			code := strconv.Itoa(int(inherited))
			found, err := d.Search(d.Context(), store.Search{Plan: plan.Plan{Type: t, Root: plan.Token{Param: inheritsParam, Code: &code}}, Limit: 10_000})
			d.must(err)
			n := 0
			for _, r := range found.Rows {
				if strings.HasPrefix(r.ID, d.prefix) {
					n++
				}
			}
			if n != want[t][inherited] {
				d.Errorf("the index has %d of %v that inherit %d, want %d", n, t, inherited, want[t][inherited])
			}
		}
	}
}

// want compares the store and a snapshot with the model.
func (d *cascadeDirectory) want(w *cascadeWorld) {
	d.Helper()
	d.wantStored(w)
	got := w.view()
	for _, t := range fhir.Types() {
		visible, ids := 0, plan.IDs{}
		for n, v := range got {
			if n.Type != t {
				continue
			}
			if ids = append(ids, n.ID); v.state == 0 {
				visible++
			}
		}
		if rows := d.keys(t, plan.And{ids, plan.Visible{Active: true, NotSuppressed: true}}); len(rows) != visible {
			d.Errorf("a snapshot selects %d of %v, want %d", len(rows), t, visible)
		}
	}
}

// The resources of random changes: few, so that they depend on each other.
var cascadeIDs = map[fhir.Type][]string{
	fhir.Organization: {"o", "p"}, fhir.Practitioner: {"x"}, fhir.Location: {"l", "m"}, fhir.PractitionerRole: {"r", "s"}, fhir.Endpoint: {"e", "f"},
	fhir.Provenance: {"v"},
}

func drawCascadeText(t *rapid.T, of fhir.Type, prefix string) string {
	states := []int{0, 0, 0, 1, 2, 3}
	if of == fhir.Organization {
		states = append(states, 8)
	}
	text := fmt.Sprintf("state=%d", rapid.SampledFrom(states).Draw(t, "state"))
	refer := func(name string, to fhir.Type) {
		if id := rapid.SampledFrom(append([]string{""}, cascadeIDs[to]...)).Draw(t, name); id != "" {
			text += " " + name + "=" + prefix + id
		}
	}
	switch of {
	case fhir.Location:
		refer("organization", fhir.Organization)
		refer("endpoint", fhir.Endpoint)
	case fhir.PractitionerRole:
		refer("organization", fhir.Organization)
		refer("practitioner", fhir.Practitioner)
		refer("endpoint", fhir.Endpoint)
		refer("endpoint", fhir.Endpoint)
	case fhir.Endpoint:
		refer("organization", fhir.Organization)
	case fhir.Provenance:
		to := rapid.SampledFrom([]fhir.Type{fhir.Organization, fhir.Location, fhir.Endpoint}).Draw(t, "about")
		text += " target=" + to.String() + "/" + prefix + rapid.SampledFrom(cascadeIDs[to]).Draw(t, "target")
	}
	return text
}

// drawStep draws changes of different resources and their texts.
func drawStep(t *rapid.T, prefix string) (changes []store.Change, texts []string) {
	drawn := map[cascadeName]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		of := rapid.SampledFrom(fhir.Types()).Draw(t, "type")
		if cascadeIDs[of] == nil {
			of = fhir.Organization
		}
		id := prefix + rapid.SampledFrom(cascadeIDs[of]).Draw(t, "id")
		if drawn[cascadeName{of, id}] {
			continue
		}
		drawn[cascadeName{of, id}] = true
		if rapid.IntRange(0, 5).Draw(t, "remove") == 0 {
			changes, texts = append(changes, remove(of, id)), append(texts, "")
			continue
		}
		text := drawCascadeText(t, of, prefix)
		changes, texts = append(changes, putCascade(of, id, text)), append(texts, text)
	}
	return changes, texts
}

// testRandomCascades compares the store with the model after each step. A resource has one new
// version if its document changes, or if it is a Provenance and the state of its target changes, and
// otherwise none.
func testRandomCascades(t *testing.T, open OpenCascade) { randomCascades(t, open, 0) }

// testRandomSlices does so when all dependants are written in slices.
func testRandomSlices(t *testing.T, open OpenCascade) { randomCascades(t, open, -1) }

func randomCascades(t *testing.T, open OpenCascade, dependants int) {
	fewerChecks(t, 20)
	d, runs := newCascadeDirectory(t, open, dependants), 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		d.prefix = fmt.Sprint(runs, "-") // the resources of other runs stay
		w := newCascadeWorld()
		versions := map[cascadeName]store.Row{}
		for range rapid.IntRange(2, 6).Draw(rt, "steps") {
			before := w.view()
			changes, texts := drawStep(rt, d.prefix)
			own := maps.Clone(w.present)
			for n, c := range changes {
				w.apply(c, texts[n])
			}
			if rapid.Bool().Draw(rt, "all at once") {
				_, err := d.ApplyAll(d.Context(), changes, func([]store.Outcome) error { return nil })
				d.must(err)
			} else {
				d.apply(changes...)
			}
			now := d.wantStored(w)
			if t.Failed() {
				rt.Fatalf("after %v", texts)
			}
			after := w.view()
			for n, row := range now {
				want := versions[n].Version
				if text, ok := own[n]; !ok || text != w.present[n] || before[n] != after[n] || aboutDiffers(before, after, w.present[n]) {
					want++
				}
				if versions[n].Version == 0 || dependants < 0 && row.Version > want {
					continue // created again, or written by the chunk and by a slice
				}
				if row.Version != want {
					rt.Fatalf("%v/%s has version %d, want %d, after %v", n.Type, n.ID, row.Version, want, texts)
				}
			}
			versions = now
			if rapid.IntRange(0, 2).Draw(rt, "sweep") == 0 {
				d.sweepAll()
				w.sweep()
			}
		}
		d.want(w)
	})
}

// fewerChecks lowers the number of checks of a test, since each reads a whole directory. The flag
// -rapid.checks has precedence.
func fewerChecks(t *testing.T, n int) {
	checks := flag.Lookup("rapid.checks")
	if checks == nil || checks.Value.String() != checks.DefValue {
		return
	}
	if err := flag.Set(checks.Name, strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(checks.Name, checks.DefValue) }) // it was valid
}

// testChangedDependants changes an owner together with some of its dependants. As many of the others
// as a chunk may write are left, and more: none of them may be forgotten.
func testChangedDependants(t *testing.T, open OpenCascade) {
	const few, roles = 3, 8
	for changed := range roles + 1 {
		d, w := newCascadeDirectory(t, open, few), newCascadeWorld()
		put := func(t fhir.Type, id, text string) store.Change {
			c := putCascade(t, id, text)
			w.apply(c, text)
			return c
		}
		d.apply(put(fhir.Organization, "o", "state=0"))
		for n := range roles {
			d.apply(put(fhir.PractitionerRole, fmt.Sprint("r", n), "state=0 organization=o"))
		}
		list := []store.Change{put(fhir.Organization, "o", "state=2")}
		for n := range changed {
			list = append(list, put(fhir.PractitionerRole, fmt.Sprint("r", n), "state=0 organization=o changed"))
		}
		d.apply(list...)
		d.want(w)
	}
}

// sweepAll sweeps all removals on which nothing depends. The owners of users that the first sweep
// forgets are left to the second one.
func (d *cascadeDirectory) sweepAll() {
	d.Helper()
	for range 2 {
		_, err := d.SweepRemovals(d.Context(), store.Sweep{Before: fhir.Forever, Needs: sinceOf})
		d.must(err)
	}
}

// testSweepOfOwners removes an owner, then a user whose tombstone alone still needs the one of the
// owner. A sweep that forgets the user must not forget the owner without recording its version, from
// which a new resource continues.
func testSweepOfOwners(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 100)
	owner := cascadeName{fhir.Practitioner, "x"}
	d.apply(putCascade(owner.Type, owner.ID, "state=0"))
	d.apply(putCascade(owner.Type, owner.ID, "state=2"), putCascade(fhir.PractitionerRole, "r", "state=0 practitioner=x endpoint=e"))
	d.tick()
	d.apply(remove(owner.Type, owner.ID)) // version 3
	last := d.tick()
	d.apply(remove(fhir.PractitionerRole, "r"))
	d.sweepAll()
	horizon, err := d.Horizon(t.Context())
	d.must(err)
	if horizon.Swept != last {
		t.Errorf("the horizon is %v, want %v, when the last removal was committed", horizon.Swept, last)
	}
	d.apply(putCascade(owner.Type, owner.ID, "state=0"))
	if _, rows := d.stored(); rows[owner].Version != 4 {
		t.Errorf("the resource that was created again has version %d, want 4", rows[owner].Version)
	}
}

// sweep forgets the removed resources on which the state of no other one depends.
func (w *cascadeWorld) sweep() {
	refers := func(kind store.RelationKind, text string, from, to cascadeName) bool {
		return slices.ContainsFunc(cascadeRelations, func(r store.Relation) bool {
			return r.Kind == kind && r.From == from.Type && r.To == to.Type && slices.Contains(cascadeTargets(text, r), to.ID)
		})
	}
	among := func(all map[cascadeName]string, holds func(n cascadeName, text string) bool) bool {
		for n, text := range all {
			if holds(n, text) {
				return true
			}
		}
		return false
	}
	users := map[cascadeName]string{}
	for n, text := range w.gone {
		if among(w.present, func(used cascadeName, _ string) bool { return refers(store.Uses, text, n, used) }) {
			users[n] = text
		}
	}
	for n := range w.gone {
		owns := func(of cascadeName, text string) bool { return refers(store.BelongsTo, text, of, n) }
		if _, uses := users[n]; !uses && !among(w.present, owns) && !among(users, owns) {
			delete(w.gone, n)
		}
	}
}

// aboutDiffers reports whether a resource that a text is about differs in its state.
func aboutDiffers(before, after map[cascadeName]cascadeView, text string) bool {
	for _, r := range cascadeRelations {
		for _, id := range cascadeTargets(text, r) {
			n := cascadeName{r.To, id}
			was, existed := before[n]
			is, exists := after[n]
			if r.Kind == store.IsAbout && (existed != exists || was.state != is.state) {
				return true
			}
		}
	}
	return false
}

// manyRoles fills a directory with an organisation, roles of it, an Endpoint that all of them use,
// and a Provenance about one.
func (d *cascadeDirectory) manyRoles(n int) *cascadeWorld {
	w := newCascadeWorld()
	var changes []store.Change
	add := func(t fhir.Type, id, text string) {
		c := putCascade(t, id, text)
		w.apply(c, text)
		changes = append(changes, c)
	}
	add(fhir.Organization, "o", "state=0")
	add(fhir.Endpoint, "e", "state=0")
	for i := range n {
		add(fhir.PractitionerRole, fmt.Sprint("r", i), "state=0 organization=o endpoint=e")
	}
	add(fhir.Provenance, "v", "state=0 target=PractitionerRole/r7")
	d.apply(changes...)
	return w
}

// suppressAll suppresses the organisation.
func (w *cascadeWorld) suppressAll() store.Change {
	c := putCascade(fhir.Organization, "o", "state=2")
	w.apply(c, "state=2")
	return c
}

const roleCount = 60

// errKilled stops a call as the death of its process would.
var errKilled = errors.New("killed")

// interruptCascade runs a change whose cascade stops at a failpoint.
func (d *cascadeDirectory) interruptCascade(point string, c store.Change) {
	d.Helper()
	d.interrupt(point, func() error {
		_, err := d.Apply(d.Context(), []store.Change{c})
		return err
	})
}

// interrupt runs a write that stops at a failpoint.
func (d *cascadeDirectory) interrupt(point string, write func() error) {
	d.Helper()
	disarm := failpoint.Arm(point, func(context.Context) error { return errKilled })
	defer disarm()
	if err := write(); !errors.Is(err, errKilled) {
		d.Fatalf("the interrupted cascade returned %v", err)
	}
}

// testPending checks that no reader sees a dependant as soon as the parent is committed.
func testPending(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 10)
	w := d.manyRoles(roleCount)
	d.interruptCascade("directory.cascade.commit", w.suppressAll())
	code := "any"
	for _, root := range []plan.Node{
		plan.Visible{Active: true, NotSuppressed: true}, plan.Visible{Active: true}, plan.Visible{NotSuppressed: true}, plan.Visible{},
		plan.And{plan.Token{Param: 8, Code: &code}, plan.Visible{}},
	} {
		for _, of := range []fhir.Type{fhir.PractitionerRole, fhir.Endpoint, fhir.Provenance} {
			found, err := d.Search(t.Context(), store.Search{Plan: plan.Plan{Type: of, Root: root}, Limit: 10, Total: -1})
			d.must(err)
			if len(found.Rows) > 0 || found.Total != 0 {
				t.Errorf("%v of %v finds %d rows", root, of, found.Total)
			}
		}
	}
	rows, err := d.Lookup(t.Context(), fhir.PractitionerRole, []string{"r3"})
	d.must(err)
	if len(rows) != 1 || rows[0].Visibility&index.Pending == 0 {
		t.Errorf("the row of a dependant is %+v", rows)
	}
	behind := plan.Chain{Param: 7, Type: fhir.PractitionerRole, Node: plan.And{plan.Token{Param: 8, Code: &code}, plan.Visible{}}}
	found, err := d.Search(t.Context(), store.Search{Plan: plan.Plan{Type: fhir.Provenance, Root: behind}, Limit: 10})
	d.must(err)
	if len(found.Rows) > 0 {
		t.Error("a chain leads over a dependant")
	}
	d.must(d.snapshot().Close()) // which finishes the cascade
	d.want(w)
}

// testApplyAllCascade applies changes with many dependants at once, and stops them before the commit
// or in a slice of the cascade. Nothing of them shows before the commit; after it everything does,
// except the dependants.
func testApplyAllCascade(t *testing.T, open OpenCascade) {
	visible := func(d *cascadeDirectory, of fhir.Type) int64 {
		found, err := d.Search(t.Context(), store.Search{Plan: plan.Plan{Type: of, Root: plan.Visible{Active: true, NotSuppressed: true}}, Total: -1})
		d.must(err)
		return found.Total
	}
	for _, point := range []string{"directory.apply.entered", "directory.apply.commit", "directory.cascade.commit"} {
		d := newCascadeDirectory(t, open, 10)
		w := d.manyRoles(roleCount)
		texts := map[cascadeName]string{
			{fhir.Organization, "o"}: "state=2", {fhir.Organization, "p"}: "state=0", {fhir.Location, "l"}: "state=0 organization=p",
			{fhir.PractitionerRole, "new"}: "state=0 organization=p", {fhir.PractitionerRole, "r3"}: "state=0 organization=p", {fhir.PractitionerRole, "r5"}: "",
		}
		var changes []store.Change
		for n, text := range texts {
			if text == "" {
				changes = append(changes, remove(n.Type, n.ID))
			} else {
				changes = append(changes, putCascade(n.Type, n.ID, text))
			}
		}
		write := func() error {
			_, err := d.ApplyAll(t.Context(), changes, func([]store.Outcome) error { return nil })
			return err
		}
		d.interrupt(point, write)
		want := map[fhir.Type]int64{fhir.Organization: 1, fhir.PractitionerRole: roleCount, fhir.Endpoint: 1, fhir.Provenance: 1}
		committed := point == "directory.cascade.commit"
		if committed {
			want = map[fhir.Type]int64{fhir.Organization: 1, fhir.Location: 1, fhir.PractitionerRole: 2}
		}
		for _, of := range fhir.Types() {
			if got := visible(d, of); got != want[of] {
				t.Errorf("%s: %d of %v are visible, want %d", point, got, of, want[of])
			}
		}
		if !committed {
			d.want(w)
			d.must(write())
		}
		for _, c := range changes {
			w.apply(c, texts[cascadeName{c.Type, c.ID}])
		}
		d.must(d.snapshot().Close()) // which finishes the cascade
		d.want(w)
	}
}

// testKilledCascade interrupts a cascade at each point. Another process that writes, takes a
// snapshot or reindexes finishes it, whatever it was opened for.
func testKilledCascade(t *testing.T, open OpenCascade) {
	for _, point := range []string{"directory.cascade.commit", "directory.cascade.committed"} {
		for name, enter := range map[string]func(d *cascadeDirectory, s IndexerStore, w *cascadeWorld) error{
			"snapshot": func(d *cascadeDirectory, s IndexerStore, _ *cascadeWorld) error {
				snapshot, err := s.OpenSnapshot(d.Context(), noPin)
				if err != nil {
					return err
				}
				return snapshot.Close()
			},
			"write": func(d *cascadeDirectory, s IndexerStore, w *cascadeWorld) error {
				c := putCascade(fhir.PractitionerRole, "new", "state=0 organization=o")
				w.apply(c, "state=0 organization=o")
				_, err := s.Apply(d.Context(), []store.Change{c})
				return err
			},
			"reindex": func(d *cascadeDirectory, s IndexerStore, w *cascadeWorld) error {
				return s.Reindex(d.Context(), cascadeReindexing(s))
			},
		} {
			d := newCascadeDirectory(t, open, 10)
			w := d.manyRoles(roleCount)
			d.interruptCascade(point, w.suppressAll())
			if point == "directory.cascade.commit" { // a snapshot that waits fails too
				d.interrupt(point, func() error {
					_, err := d.OpenSnapshot(t.Context(), noPin)
					return err
				})
			}
			if err := enter(d, d.reopen(10), w); err != nil {
				t.Fatalf("%s after %s: %v", name, point, err)
			}
			d.want(w)
		}
	}
}

// cascadeReindexing rebuilds the entries of the test's resources.
func cascadeReindexing(s IndexerStore) store.Reindexing {
	return store.Reindexing{Definitions: s.Info().DefinitionsHash, Rules: s.Info().Rules,
		Extract: func(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
			_, rest, _ := strings.Cut(string(line), `"text":"`)
			return append(dst, cascadeEntries(t, strings.TrimSuffix(rest, `"}`))...), nil, nil
		}}
}

// testSnapshotAwaitsCascade opens a snapshot between two slices. It sees all of the cascade.
func testSnapshotAwaitsCascade(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 10)
	w := d.manyRoles(roleCount)
	change := w.suppressAll()
	other := d.reopen(10)
	waiting := make(chan int, 1)
	begun := false
	disarm := failpoint.Arm("directory.cascade.committed", func(ctx context.Context) error {
		if !begun {
			begun = true
			go func() {
				snapshot, err := other.OpenSnapshot(t.Context(), noPin)
				if err != nil {
					t.Error(err)
					waiting <- -1
					return
				}
				visible := len(d.pick(snapshot, fhir.PractitionerRole, plan.Visible{Active: true, NotSuppressed: true}))
				suppressed := len(d.pick(snapshot, fhir.PractitionerRole, plan.Visible{}))
				_ = snapshot.Close()
				waiting <- suppressed - visible
			}()
		}
		return nil
	})
	d.apply(change)
	if got := <-waiting; got != roleCount {
		t.Errorf("the snapshot sees %d suppressed roles, want all %d", got, roleCount)
	}
	disarm()
	d.want(w)
}

// testSnapshotBeforeNextCascade lets two writers come with another cascade while a snapshot waits for
// one, which it finishes in two slices. The snapshot is next: it sees nothing of the other cascade.
func testSnapshotBeforeNextCascade(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 10)
	w := d.manyRoles(roleCount)
	d.interruptCascade("directory.cascade.commit", w.suppressAll())
	waiting, writers := d.reopen(10), []IndexerStore{d.reopen(10), d.reopen(10)}
	lift := putCascade(fhir.Organization, "o", "state=0")

	arm := func(point string, f func()) {
		t.Cleanup(failpoint.Arm(point, func(context.Context) error { f(); return nil }))
	}
	arrived, all, written := make(chan struct{}, 100), make(chan struct{}), make(chan error, len(writers))
	arm("directory.gate.waiting", func() { arrived <- struct{}{} })
	arm("directory.apply.entered", func() { arrived <- struct{}{}; <-all })
	var slow, come sync.Once
	arm("directory.cascade.slice", func() { slow.Do(func() { time.Sleep(200 * time.Millisecond) }) }) // more than a transaction may take
	arm("directory.cascade.committed", func() {
		come.Do(func() {
			for _, s := range writers {
				go func() {
					_, err := s.Apply(t.Context(), []store.Change{lift})
					written <- err
				}()
				<-arrived
			}
			close(all)
		})
	})
	snapshot, err := waiting.OpenSnapshot(t.Context(), noPin)
	d.must(err)
	roles := d.pick(snapshot, fhir.PractitionerRole, plan.Visible{})
	visible := d.pick(snapshot, fhir.PractitionerRole, plan.Visible{Active: true, NotSuppressed: true})
	if len(roles) != roleCount || len(visible) > 0 {
		t.Errorf("the snapshot sees %d roles, %d of them visible: want %d that the first cascade has hidden", len(roles), len(visible), roleCount)
	}
	d.must(snapshot.Close())
	for range writers {
		d.must(<-written)
	}
	w.apply(lift, "state=0")
	d.want(w)
}

// testReindexCascades reindexes a directory that was written without rules. Its dependants get new
// versions, which deltas carry, and before that a program with rules refuses it.
func testReindexCascades(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 0)
	d.must(d.store.Close())
	d.folder = t.TempDir()
	without, err := d.open(t, d.folder, store.Options{Now: d.clock.now})
	d.must(err)
	d.Store = without
	w := d.manyRoles(roleCount)
	d.apply(w.suppressAll())
	if _, err := d.open(t, d.folder, store.Options{Now: d.clock.now, Expect: store.Identity{Cascades: true}}); err == nil || !strings.Contains(err.Error(), "muster reindex") {
		t.Errorf("the older directory: %v, want an error that names reindex", err)
	}
	s := d.reopen(0)
	d.Store = s
	_, before := d.stored()
	d.must(s.Reindex(t.Context(), cascadeReindexing(s)))
	d.want(w)
	_, after := d.stored()
	for _, n := range []cascadeName{{fhir.PractitionerRole, "r7"}, {fhir.Endpoint, "e"}, {fhir.Provenance, "v"}} {
		if after[n].Version != before[n].Version+1 {
			t.Errorf("%v/%s has version %d after %d", n.Type, n.ID, after[n].Version, before[n].Version)
		}
	}
	if !s.Info().Cascades {
		t.Error("the reindexed directory is not marked")
	}
	d.must(s.Reindex(t.Context(), cascadeReindexing(s)))
	d.want(w)
	if _, again := d.stored(); !maps.Equal(again, after) {
		t.Error("a second reindex writes new versions")
	}
	c := putCascade(fhir.Organization, "o", "state=0")
	w.apply(c, "state=0")
	d.apply(c)
	d.want(w)
}

// testWriterNeedsRules checks that a writer without rules does not write to a directory whose
// resources inherit states.
func testWriterNeedsRules(t *testing.T, open OpenCascade) {
	d := newCascadeDirectory(t, open, 0)
	reader, err := d.open(t, d.folder, store.Options{Now: d.clock.now})
	d.must(err)
	if _, err := reader.Apply(t.Context(), []store.Change{putCascade(fhir.Organization, "o", "state=2")}); err == nil {
		t.Error("a writer without rules writes")
	}
}

// CascadeOverDamage runs a cascade over an index that does not have what the documents say. run runs
// statements on the database of a folder, as another program would.
func CascadeOverDamage(t *testing.T, open OpenCascade, run func(t *testing.T, dir string, statements ...string)) {
	d, w := newCascadeDirectory(t, open, -1), newCascadeWorld()
	apply := func(of fhir.Type, id, text string) {
		d.apply(putCascade(of, id, text))
		w.apply(putCascade(of, id, text), text)
	}
	apply(fhir.Organization, "o", "state=0")
	apply(fhir.Location, "l", "state=0 organization=o")
	apply(fhir.Location, "m", "state=0 organization=o")
	d.want(w)
	// The first one has the entry that the cascade inserts, and the second one loses it before the
	// next cascade deletes it.
	entry := fmt.Sprintf(`SELECT r.row_key, %d, '2', n.name_id FROM resource AS r, name AS n WHERE r.id = 'l' AND n.text = ''`, inheritsParam)
	run(t, d.folder, `INSERT INTO name (text) VALUES ('') ON CONFLICT DO NOTHING`, `INSERT INTO ix_token (row_key, param, code, system) `+entry)
	apply(fhir.Organization, "o", "state=2")
	d.want(w)
	run(t, d.folder, fmt.Sprintf(`DELETE FROM ix_token WHERE param = %d AND row_key = (SELECT row_key FROM resource WHERE id = 'm')`, inheritsParam))
	apply(fhir.Organization, "o", "state=0")
	d.want(w)
}
