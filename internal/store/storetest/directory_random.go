package storetest

import (
	"fmt"
	"slices"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// partParam is a token parameter whose codes are searched by substring.
const partParam = 3

// Random directories and plans draw from these small sets, so that they match often. The
// texts include edge cases: accents, a code point at the end of the range, and a text
// that is a prefix of another.
var (
	someTypes   = []fhir.Type{fhir.Location, fhir.Practitioner}
	someIDs     = []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	someSystems = []string{"", "http://one", "http://two", "Organization", "Location"}
	someCodes   = []string{"", "1", "10", "x'y", "é"}
	someTexts   = []string{"Hobart", "hobart", "Hobart North", "Hobär", "ho\U0010FFFF", "ho\U0010FFFFx", "퟿a", "\uE000", "x'%_\"", "z"}
	somePrefix  = []string{"", "h", "hobar", "hobart ", "ho\U0010FFFF", "퟿", "\U0010FFFF", "x'%", "q"}
	someParams  = []int{1, 2}
	someTargets = []string{"Location", "Practitioner", "Organization", ""}
	somePlaces  = []index.Position{{Latitude: -33.8688, Longitude: 151.2093}, {Latitude: -33.8701, Longitude: 151.2102}, {Latitude: -33.9, Longitude: 151},
		{Latitude: -17, Longitude: 179.9999}, {Latitude: -17, Longitude: -179.9999}, {Latitude: 90, Longitude: 20}, {Latitude: 89.999, Longitude: -160}, {}}
	someMeters  = []float64{1, 250, 30_000, 2_000_000, 30_000_000}
	someParts   = []string{"o", "ob", "bar", "rt n", "hobart", "obart nort", "\U0010FFFFx", "%", "퟿", "zz", "hobart north"}
	someTimes   = []plan.Prefix{plan.EQ, plan.NE, plan.GT, plan.LT, plan.GE, plan.LE}
	someKinds   = []index.Kind{index.Token, index.String, index.Date, index.Reference, index.Reference, index.URI, index.Number, index.Location}
	somePrefixS = []plan.Prefix{plan.EQ, plan.NE, plan.GT, plan.LT, plan.GE, plan.LE, plan.SA, plan.EB, plan.AP}
)

func drawPeriod(t *rapid.T, from fhir.Instant) fhir.Period {
	low := from + fhir.Instant(rapid.IntRange(0, 12).Draw(t, "low"))
	return fhir.Period{From: low, To: low + fhir.Instant(rapid.IntRange(1, 6).Draw(t, "length"))}
}

func drawEntry(t *rapid.T) index.Entry {
	e := index.Entry{
		Kind:  rapid.SampledFrom(someKinds).Draw(t, "kind"),
		Param: rapid.SampledFrom(someParams).Draw(t, "param"),
	}
	switch e.Kind {
	case index.Token:
		e.System = rapid.SampledFrom(someSystems).Draw(t, "system")
		e.Code = rapid.SampledFrom(someCodes).Draw(t, "code")
		if rapid.Bool().Draw(t, "part") {
			e.Param, e.Code = partParam, rapid.SampledFrom(someTexts).Draw(t, "code")
		}
	case index.Reference:
		e.System = rapid.SampledFrom(someTargets).Draw(t, "target")
		e.Code = rapid.SampledFrom(someIDs).Draw(t, "id")
	case index.Number:
		e.Number = int64(rapid.IntRange(0, 5).Draw(t, "number"))
	case index.Location:
		e.Position = rapid.SampledFrom(somePlaces).Draw(t, "place")
	case index.String:
		e.Exact = rapid.SampledFrom(someTexts).Draw(t, "text")
		e.Norm = index.Fold(e.Exact)
	case index.Date:
		e.Period = drawPeriod(t, 0)
	case index.URI:
		e.Code = rapid.SampledFrom(someSystems).Draw(t, "uri")
	}
	return e
}

func drawChange(t *rapid.T) store.Change {
	resourceType := rapid.SampledFrom(someTypes).Draw(t, "type")
	id := rapid.SampledFrom(someIDs).Draw(t, "id")
	if rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
		return remove(resourceType, id)
	}
	entries := rapid.SliceOfN(rapid.Custom(drawEntry), 0, 8).Draw(t, "entries")
	for _, e := range entries {
		if e.Param == partParam {
			entries = append(entries, index.TokenText(e.Param, e.System, e.Code))
		}
	}
	visibility := index.Visibility(rapid.IntRange(0, 3).Draw(t, "visibility"))
	var updated fhir.Instant
	if rapid.Bool().Draw(t, "foreign meta") {
		updated = noon + fhir.Instant(rapid.IntRange(0, 20).Draw(t, "updated"))
	}
	// The text is the source, so resources with equal texts are equal.
	c := put(resourceType, id, fmt.Sprint(entries, visibility, updated), entries...)
	c.Visibility = visibility
	if updated != 0 {
		c.LastUpdated = &updated
	}
	return c
}

func drawNode(t *rapid.T, depth int, times []fhir.Instant) plan.Node {
	kinds := 14
	if depth > 0 {
		kinds = 20
	}
	param := rapid.SampledFrom(someParams).Draw(t, "param")
	switch rapid.IntRange(0, kinds-1).Draw(t, "node") {
	case 0:
		return plan.IDs(rapid.SliceOfN(rapid.SampledFrom(someIDs), 0, 3).Draw(t, "ids"))
	case 1:
		return plan.Updated{Compare: plan.Comparison{Prefix: rapid.SampledFrom(somePrefixS).Draw(t, "prefix"), Period: drawPeriod(t, noon)}}
	case 2:
		return plan.Since{After: rapid.SampledFrom(times).Draw(t, "since")}
	case 3:
		return drawVisible(t)
	case 4, 5:
		return plan.Token{Param: param, System: drawMaybe(t, someSystems), Code: drawMaybe(t, someCodes)}
	case 6:
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			return plan.String{Param: param, Text: rapid.SampledFrom(someTexts).Draw(t, "text"), Exact: true}
		case 1:
			return plan.String{Param: param, Text: rapid.SampledFrom(someParts).Draw(t, "text"), Contains: true}
		}
		return plan.String{Param: param, Text: rapid.SampledFrom(somePrefix).Draw(t, "text")}
	case 7:
		return plan.Date{Param: param, Compare: plan.Comparison{Prefix: rapid.SampledFrom(somePrefixS).Draw(t, "prefix"), Period: drawPeriod(t, 0)}}
	case 8:
		return plan.Reference{Param: param, Type: rapid.SampledFrom(someTargets).Draw(t, "target"), ID: rapid.SampledFrom(append(someIDs, "")).Draw(t, "id")}
	case 9:
		if rapid.Bool().Draw(t, "uri") {
			return plan.URI{Param: param, Value: rapid.SampledFrom(someSystems).Draw(t, "value")}
		}
		return plan.Present{Param: param, Kind: index.Kind(rapid.IntRange(int(index.Token), int(index.Location)).Draw(t, "kind"))}
	case 10:
		return plan.Number{Param: param, Prefix: rapid.SampledFrom(someTimes).Draw(t, "prefix"), Value: int64(rapid.IntRange(0, 5).Draw(t, "number"))}
	case 11:
		return plan.Near{Param: param, Point: rapid.SampledFrom(somePlaces).Draw(t, "place"), Meters: rapid.SampledFrom(someMeters).Draw(t, "metres")}
	case 12:
		return plan.TokenPart{Param: partParam, System: drawMaybe(t, someSystems), Text: rapid.SampledFrom(someParts).Draw(t, "part")}
	case 13:
		return plan.AllVisible{Param: param, Types: someTypes, Visible: drawVisible(t)}
	case 14:
		return plan.And(drawNodes(t, depth, times))
	case 15:
		return plan.Or(drawNodes(t, depth, times))
	case 16:
		return plan.Not{Node: drawNode(t, depth-1, times)}
	case 17, 18:
		return plan.Chain{Param: param, Type: rapid.SampledFrom(someTypes).Draw(t, "type"), Node: drawNode(t, depth-1, times)}
	default:
		return plan.Has{Param: param, Type: rapid.SampledFrom(someTypes).Draw(t, "type"), Node: drawNode(t, depth-1, times)}
	}
}

func drawVisible(t *rapid.T) plan.Visible {
	return plan.Visible{Active: rapid.Bool().Draw(t, "active"), NotSuppressed: rapid.Bool().Draw(t, "not suppressed")}
}

// drawOrder draws a sort key.
func drawOrder(t *rapid.T) plan.Order {
	o := plan.Order{Descending: rapid.Bool().Draw(t, "descending")}
	switch rapid.IntRange(0, 4).Draw(t, "by") {
	case 0:
		o.By = plan.ByID
	case 1:
		o.By = plan.ByUpdated
	default:
		o.Param = rapid.SampledFrom(someParams).Draw(t, "param")
		o.Kind = rapid.SampledFrom(someKinds).Draw(t, "kind")
		if o.Kind == index.Location {
			point := rapid.SampledFrom(somePlaces).Draw(t, "from")
			o.Point = &point
		}
	}
	return o
}

func drawNodes(t *rapid.T, depth int, times []fhir.Instant) []plan.Node {
	nodes := make([]plan.Node, rapid.IntRange(0, 3).Draw(t, "nodes"))
	for i := range nodes {
		nodes[i] = drawNode(t, depth-1, times)
	}
	return nodes
}

func drawMaybe(t *rapid.T, from []string) *string {
	if rapid.Bool().Draw(t, "any") {
		return nil
	}
	s := rapid.SampledFrom(from).Draw(t, "value")
	return &s
}

// testRandomPlans applies random changes and evaluates random plans between them. The
// store must find what the model finds, and later reads of a live job must return what it
// selected.
func testRandomPlans(t *testing.T, open OpenStore) {
	if testing.Short() {
		t.Skip("slow: compares hundreds of random plans")
	}
	d := newDirectory(t, open)
	m := &model{}
	job := 0
	// All checks use one store, because creating a store is slow. Each check removes all
	// resources first.
	rapid.Check(t, func(rt *rapid.T) {
		d := directory{TB: &rapidTB{TB: t, rt: rt}, Store: d.Store, clock: d.clock}
		for _, c := range removeAll() {
			m.apply(c, 0)
		}
		d.apply(removeAll()...)
		times := d.randomChanges(rt, m, rapid.SliceOfN(rapid.Custom(drawChange), 0, 20).Draw(rt, "changes"))
		job++
		id := fmt.Sprint("job", job)
		s := d.pin(id)
		defer s.Close()
		times = append(times, s.Time())
		for range 8 {
			p := plan.Plan{Type: rapid.SampledFrom(someTypes).Draw(rt, "type"), Root: drawNode(rt, 3, times)}
			d.compare(rt, m, s, p)
			d.compareSearch(rt, m, p)
		}
		keys := keysOf(d.pick(s, fhir.Location, plan.And{}))
		then := d.lines(keys, s.Time())
		d.randomChanges(rt, m, rapid.SliceOfN(rapid.Custom(drawChange), 0, 10).Draw(rt, "later changes"))
		if diff := cmp.Diff(then, d.lines(keys, s.Time())); diff != "" {
			rt.Fatalf("read as of %v (-then +now)\n%s", s.Time(), diff)
		}
		d.end(id)
	})
}

// removeAll returns the changes that remove all resources.
func removeAll() (changes []store.Change) {
	for _, t := range someTypes {
		for _, id := range someIDs {
			changes = append(changes, remove(t, id))
		}
	}
	return changes
}

// randomChanges applies changes to the store and the model, and returns transaction times
// that were drawn between them.
func (d directory) randomChanges(rt *rapid.T, m *model, changes []store.Change) []fhir.Instant {
	times := []fhir.Instant{d.snapshotTime()}
	for _, c := range changes {
		got := d.apply(c)[0]
		// The change was committed between two drawn times, so its exact commit time does
		// not matter for plans that compare with these times.
		if want := m.apply(c, times[len(times)-1]+1); got != want {
			rt.Fatalf("%v/%s: outcome %v, want %v", c.Type, c.ID, got, want)
		}
		times = append(times, d.snapshotTime())
	}
	return times
}

func (d directory) snapshotTime() fhir.Instant {
	s := d.snapshot()
	d.must(s.Close())
	return s.Time()
}

func (d directory) compare(rt *rapid.T, m *model, s store.Snapshot, p plan.Plan) {
	keys := keysOf(d.pick(s, p.Type, p.Root))
	var want, got []string
	for _, line := range d.lines(keys, s.Time()) {
		r := d.read(line)
		got = append(got, r.ID+" "+r.Text)
	}
	for _, id := range m.search(p) {
		r := m.resources[m.find(p.Type, id)]
		want = append(want, id+" "+d.read(string(r.Document.Line(1, noon))).Text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("%#v (-want +got)\n%s", p, diff)
	}
}

// compareSearch searches for the first matches in a random order and for their number.
func (d directory) compareSearch(rt *rapid.T, m *model, p plan.Plan) {
	searcher, ok := d.Store.(store.Searcher)
	if !ok {
		rt.Fatalf("%T is not a Searcher", d.Store)
	}
	search := store.Search{
		Plan: p, Order: rapid.SliceOfN(rapid.Custom(drawOrder), 0, 3).Draw(rt, "order"),
		Limit: rapid.IntRange(0, 5).Draw(rt, "limit"), Total: int64(rapid.IntRange(-1, 4).Draw(rt, "total")),
		MaterializeLimit: int64(rapid.IntRange(0, 3).Draw(rt, "gather")), // so that small sets exceed the limit too
	}
	found, err := searcher.Search(rt.Context(), search)
	if err != nil {
		rt.Fatalf("%v: %v", search, err)
	}
	want := m.sorted(p, search.Order)
	var got []string
	for _, r := range found.Rows {
		got = append(got, r.ID)
	}
	expected := want[:min(len(want), search.Limit)]
	if len(search.Order) == 0 && len(want) > search.Limit {
		// Any matches may be returned, but each only once.
		expected = slices.DeleteFunc(slices.Clone(want), func(id string) bool { return !slices.Contains(got, id) })
		slices.SortFunc(got, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
		if len(got) != search.Limit {
			rt.Fatalf("%v\n%d of %d matches for a limit of %d", p, len(got), len(want), search.Limit)
		}
	}
	if diff := cmp.Diff(expected, got, cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("%v\nin the order %v (-want +got)\n%s", p, search.Order, diff)
	}
	all := int64(len(want))
	switch {
	case found.Exact && found.Total != all,
		!found.Exact && (search.Total < 0 || found.Total > all),
		!found.Exact && search.Total > 0 && (all <= search.Total || found.Total != search.Total):
		rt.Fatalf("%v\n%d matches, found %d (exact: %v) when counting to %d", p, all, found.Total, found.Exact, search.Total)
	}
}

// rapidTB reports failures to rapid, so that rapid can shrink the case.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (t *rapidTB) Helper()                   {}
func (t *rapidTB) Fatal(args ...any)         { t.rt.Fatal(args...) }
func (t *rapidTB) Fatalf(f string, a ...any) { t.rt.Fatalf(f, a...) }
func (t *rapidTB) Error(args ...any)         { t.rt.Error(args...) }
func (t *rapidTB) Errorf(f string, a ...any) { t.rt.Errorf(f, a...) }

// testCompare evaluates every prefix for every relative position of two short periods.
func testCompare(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	m := &model{}
	for low := range fhir.Instant(6) {
		for high := low + 1; high <= 6; high++ {
			c := put(fhir.Location, fmt.Sprintf("%d-%d", low, high), "one",
				index.Entry{Kind: index.Date, Param: 1, Period: fhir.Period{From: low, To: high}})
			c.LastUpdated = new(100 + low)
			d.apply(c)
			m.apply(c, 0)
		}
	}
	s := d.snapshot()
	for _, prefix := range somePrefixS {
		for _, period := range []fhir.Period{{From: 2, To: 3}, {From: 2, To: 4}} {
			compare := plan.Comparison{Prefix: prefix, Period: period}
			later := plan.Comparison{Prefix: prefix, Period: fhir.Period{From: 100 + period.From, To: 100 + period.To}}
			for _, root := range []plan.Node{plan.Date{Param: 1, Compare: compare}, plan.Updated{Compare: later}} {
				want := m.search(plan.Plan{Type: fhir.Location, Root: root})
				var got []string
				for _, line := range d.lines(keysOf(d.pick(s, fhir.Location, root)), s.Time()) {
					got = append(got, d.read(line).ID)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%T %s %v (-want +got)\n%s", root, prefix, period, diff)
				}
			}
		}
	}
}

// testLongLists evaluates plans with many alternatives.
func testLongLists(t *testing.T, open OpenStore) {
	if testing.Short() {
		t.Skip("slow: searches with the longest lists")
	}
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one", everyKind("w1")...), put(fhir.Location, "b", "one", everyKind("w2999")...))
	for _, n := range []int{500, 3000} {
		var ids plan.IDs
		var tokens, texts plan.Or
		var none plan.And
		for i := range n {
			word := fmt.Sprint("w", i)
			ids = append(ids, word)
			tokens = append(tokens, plan.Token{Param: 1, Code: &word})
			texts = append(texts, plan.String{Param: 2, Text: word, Exact: true})
			none = append(none, plan.Not{Node: plan.URI{Param: 5, Value: word + "!"}})
		}
		want := min(n/1500+1, 2)
		for _, root := range []plan.Node{tokens, texts, plan.And{tokens, texts, plan.Not{Node: ids}}, plan.And{none, texts}} {
			if got := len(d.keys(fhir.Location, root)); got != want {
				t.Errorf("%d of %T: %d found, want %d", n, root, got, want)
			}
		}
	}
}

// testLargeSearches evaluates the largest plans that are allowed: deep chains, and many
// alternatives of the conditions with the longest SQL, both as driving and as checked
// conditions.
func testLargeSearches(t *testing.T, open OpenStore) {
	if testing.Short() {
		t.Skip("slow: searches as large as the limits allow")
	}
	d := newDirectory(t, open)
	itself := index.Entry{Kind: index.Reference, Param: 4, System: "Location", Code: "a"}
	here := index.Entry{Kind: index.Location, Param: 6, Position: somePlaces[0]}
	d.apply(put(fhir.Location, "a", "one", append(everyKind("w1"), itself, here)...), put(fhir.Location, "b", "one", everyKind("w2")...))
	var texts, chains, reverseChains, places plan.Or
	for i := range 500 {
		word := fmt.Sprint("w", i+1, "x"[:i%2])
		texts = append(texts, plan.String{Param: 2, Text: word, Contains: true})
		chains = append(chains, plan.Chain{Param: 4, Type: fhir.Location, Node: plan.And{plan.Token{Param: 1, Code: &word}, plan.Visible{Active: true}}})
		reverseChains = append(reverseChains, plan.Has{Param: 4, Type: fhir.Location, Node: plan.And{plan.URI{Param: 5, Value: word}, plan.Visible{Active: true}}})
	}
	for i := range 190 {
		places = append(places, plan.Near{Param: 6, Point: somePlaces[i%2], Meters: float64(100 + i)})
	}
	deep := plan.Node(plan.Token{Param: 1, Code: new("w1")})
	for range 10 {
		deep = plan.And{plan.Chain{Param: 4, Type: fhir.Location, Node: plan.And{plan.Has{Param: 4, Type: fhir.Location, Node: deep}, plan.Visible{Active: true}}}, plan.Visible{Active: true}}
	}
	for name, root := range map[string]plan.Node{
		"texts": texts, "chains": chains, "reverse chains": reverseChains, "places": places, "deep": deep,
		"chains to texts": plan.Chain{Param: 4, Type: fhir.Location, Node: plan.And{texts, places}},
	} {
		for _, node := range []plan.Node{root, plan.Not{Node: plan.Not{Node: root}}} {
			p := plan.Plan{Type: fhir.Location, Root: node}
			found, err := d.Store.(store.Searcher).Search(t.Context(), store.Search{Plan: p, Limit: 3, Total: 1000, Order: []plan.Order{{Kind: index.String, Param: 2}}})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if keys := d.keys(fhir.Location, node); len(found.Rows) == 0 || found.Rows[0].ID != "a" || len(keys) != len(found.Rows) {
				t.Errorf("%s: a search finds %d, a selection %d; want a as the first", name, len(found.Rows), len(keys))
			}
		}
	}
}
