package synth

import "sort"

// kind is one of the seven types, in loading order.
type kind uint8

const (
	organization kind = iota
	location
	endpoint
	service
	practitioner
	role
	provenance
	kindCount
)

// Types lists the seven FHIR types in the order in which they are written and must be
// loaded. A reference never points to a later type.
var Types = [kindCount]string{"Organization", "Location", "Endpoint", "HealthcareService", "Practitioner", "PractitionerRole", "Provenance"}

// national holds the numbers of records of a national directory.
var national = [kindCount]int{150_000, 260_000, 110_000, 420_000, 1_020_000, 1_900_000, 1_200_000}

// The first records of several types are special cases that exist at every scale.
const (
	orgBalmain    = 0 // cardiology rooms in Balmain 2041, Example 1 of the guide
	orgTelehealth = 1 // one virtual location with very many roles
	orgAgedCare   = 2 // "Aged Care" in Queensland
	orgBig        = 3 // the largest network organisation
	anchorOrgs    = 4

	endpointBalmain = 0
)

// ExampleOne are the filters of the guide's first export example, as printed: cardiology in Balmain
// 2041. Each of them matches resources of a synthetic directory, whatever its scale.
var ExampleOne = []string{
	"Location?address-city=Balmain&address-postalcode=2041&near=-33.8607|151.1803|100",
	"HealthcareService?service-type=http://snomed.info/sct|789718008&location.address-city=Balmain&location.address-postalcode=2041",
	"Organization?_has:HealthcareService:organization:service-type=http://snomed.info/sct|789718008",
	"PractitionerRole?location.address-city=Balmain&location.address-postalcode=2041",
	"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain",
}

// Plan is the graph of one directory: the locations, services, roles and endpoints of each
// organisation, and the practitioner of each role. It contains no records. It is immutable
// and safe for use by several goroutines.
type Plan struct {
	opts  Options
	seed  uint64
	gaz   *gazetteer
	names *names

	count     [kindCount]int // base records; coverage areas are the last locations
	locations int            // locations without the coverage areas

	arch     []uint8 // archetype of each organisation
	parent   []int32 // -1 for none
	orgPlace []uint16
	firstLoc, firstSvc,
	firstRole, firstEnd []uint32 // one entry more than organisations

	rolePrac []uint32 // practitioner of each role
	roleProf []uint8
	pracEnd  []int   // end of each (profession, state) block of practitioners
	slots    []uint8 // number of roles of each practitioner, at most 255

	diagnostic     [2]int // start and end of the pathology and imaging groups
	homeCare       [2]int // start and end of the home care organisations
	sharedEndpoint int    // the endpoint of the first sharedServices services of diagnostics
	sharedServices int

	perm struct{ hpii, hpio, hspo, abn, acn, ahpra, medicare, provenance permutation }
	base [6]int // start of each type except Provenance among all their records
}

// New draws the plan of a directory. It returns an error for invalid options.
func New(o Options) (*Plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Plan{opts: o, seed: o.Seed}
	var err error
	if p.gaz, err = loadGazetteer(); err != nil {
		return nil, err
	}
	if p.names, err = loadNames(); err != nil {
		return nil, err
	}
	for k := range p.count {
		p.count[k] = max(8, o.Scale.of(national[k]))
	}
	p.locations = p.count[location] - p.count[location]*12/100
	p.planOrganizations()
	p.planExtent()
	p.planEndpoints()
	p.planPractitioners()
	p.planIdentifiers()
	return p, nil
}

func (p *Plan) stream(a aspect, k kind, index int) stream { return newStream(p.seed, a, k, index) }

// Count returns the number of records of a type on day 0, without broken ones. It returns 0
// for a type that is not in [Types].
func (p *Plan) Count(fhirType string) int {
	for k, name := range Types {
		if name == fhirType {
			return p.count[k]
		}
	}
	return 0
}

// planOrganizations assigns each archetype a block of organisations. It gives every
// organisation a place and, in trees, a parent with a lower index.
func (p *Plan) planOrganizations() {
	n := p.count[organization]
	p.arch = make([]uint8, n)
	p.parent = make([]int32, n)
	p.orgPlace = make([]uint16, n)
	total, cumulative := 0, 0
	for _, a := range archetypes {
		total += a.count
	}
	start := anchorOrgs
	for a := range archetypes {
		cumulative += archetypes[a].count
		end := anchorOrgs + (n-anchorOrgs)*cumulative/total
		if a == archDiagnostics && end == start {
			end++ // its endpoint exists at every scale
		}
		for i := start; i < min(end, n); i++ {
			p.arch[i] = uint8(a)
			p.parent[i] = -1
		}
		p.planBlock(a, start, min(end, n))
		start = max(start, end)
	}
	g := p.gaz
	for i, special := range [anchorOrgs]struct{ arch, place int }{
		orgBalmain: {archSpecialist, g.balmain}, orgTelehealth: {archTelehealth, g.capitals[stateNSW]},
		orgAgedCare: {archAgedCare, g.capitals[stateQLD]}, orgBig: {archNetwork, g.capitals[stateNSW]},
	} {
		p.arch[i], p.parent[i], p.orgPlace[i] = uint8(special.arch), -1, uint16(special.place)
	}
}

// depthLimit is the depth of the deepest tree of organisations.
const depthLimit = 4

// planBlock places the organisations from start to end, which have one archetype.
func (p *Plan) planBlock(a, start, end int) {
	size := end - start
	seeds := size
	if archetypes[a].tree {
		seeds = min(size, max(1, size/15, min(8, size/4)))
	}
	depth := make([]uint8, size)
	for i := range size {
		s := p.stream(aspectPlace, organization, start+i)
		if i >= seeds && !s.chance(parentless[a]) {
			up := s.n(i)
			for depth[up]+1 >= depthLimit || up == i {
				up = s.n(seeds)
			}
			depth[i] = depth[up] + 1
			p.parent[start+i] = int32(start + up)
			p.orgPlace[start+i] = uint16(p.gaz.draw(&s, p.orgState(start+up)))
			continue
		}
		state := i // the first eight are in the eight states
		if i >= 8 || size < 16 {
			state = s.pick(practitionerStates)
		}
		p.orgPlace[start+i] = uint16(p.gaz.draw(&s, state))
	}
	if a == archDiagnostics {
		p.diagnostic = [2]int{start, end}
	}
	if a == archHomeCare {
		p.homeCare = [2]int{start, end}
	}
}

// parentless is the share of root organisations in trees, in ppm.
var parentless = [archCount]int{archNetwork: 0, archPrivateHospital: 0, archGP: 840_000, archAgedCare: 200_000}

// practitionerStates weighs the states by their practitioners.
var practitionerStates = func() []int {
	var weights [8]int
	for _, profession := range professions {
		for s := range weights {
			weights[s] += profession.byState[s]
		}
	}
	return cumulate(weights[:])
}()

func (p *Plan) orgState(org int) int { return int(p.gaz.places[p.orgPlace[org]].state) }

// planExtent draws the number of locations, services and roles of each organisation: one
// (inactive organisations may have none), and a share of the rest by weight. Roles are
// distributed within each state, so that they match its practitioners.
func (p *Plan) planExtent() {
	n := p.count[organization]
	least := make([][3]int, n)    // minimum numbers of locations, services and roles
	weight := make([][3]int64, n) // weights for more of them
	blocks := [archCount]int64{}
	for _, a := range p.arch {
		blocks[a]++
	}
	var sums [3]int64 // approximate sums of the weights of each column
	for _, a := range archetypes {
		for j, extra := range [3]int{a.extraLoc, a.extraSvc, a.extraRole} {
			sums[j] += int64(extra) << 16
		}
	}
	for i := range n {
		a := &archetypes[p.arch[i]]
		s := p.stream(aspectPlan, organization, i)
		least[i] = [3]int{1, 1, 1}
		if p.arch[i] == archInactive {
			least[i] = [3]int{0, 0, 0}
			if s.chance(350_000) {
				least[i] = [3]int{1, s.n(2), 0}
			}
			if least[i][1] == 0 {
				continue
			}
			least[i][2] = s.n(4)
			continue
		}
		size := s.skew()
		if a.count < 100 {
			size = 256 // there are so few that each is large
		}
		for j, extra := range [3]int{a.extraLoc, a.extraSvc, a.extraRole} {
			mean := int64(extra) << 16 / blocks[p.arch[i]]
			weight[i][j] = min(mean*size>>8, mean*tailLimit, max(mean, sums[j]/60))
		}
	}
	scale := p.opts.Scale
	for org, size := range map[int][3]int{
		orgBalmain:    {1, 2, 6},
		orgTelehealth: {1, 3, max(3, scale.of(3_000))},
		orgAgedCare:   {1, 2, 4},
		orgBig:        {max(3, scale.of(60)), max(6, scale.of(6_000)), max(8, scale.of(25_000))},
	} {
		least[org], weight[org] = size, [3]int64{}
	}
	for range 6 { // each step partly undoes the other
		p.balanceStates(least, weight)
		limitRoles(weight)
	}
	p.balanceStates(least, weight)
	p.firstLoc = shareOut(least, weight, 0, p.locations)
	p.firstSvc = shareOut(least, weight, 1, p.count[service])
	p.firstRole = shareOut(least, weight, 2, p.count[role])
}

// tailLimit is the maximum size of an organisation as a multiple of the mean of its
// archetype. In a small directory, the limit is a sixtieth of the total.
const tailLimit = 24

// limitRoles keeps organisations smaller than the largest network. Their weight for roles
// is at most a hundredth of the total, or four times the mean in a small directory. For
// most it is a little less, so that they differ.
func limitRoles(weight [][3]int64) {
	sum := int64(0)
	for i := range weight {
		sum += weight[i][2]
	}
	limit := max(sum/100, 4*sum/int64(len(weight)))
	for i := range weight {
		own := limit * int64(96+mix(uint64(i))%160) >> 8
		weight[i][2] = min(weight[i][2], own)
	}
}

// balanceStates scales the weights for roles so that the roles of each state are
// proportional to its practitioners.
func (p *Plan) balanceStates(least [][3]int, weight [][3]int64) {
	var sum, want [8]int64
	for s := range want {
		share := practitionerStates[s]
		if s > 0 {
			share -= practitionerStates[s-1]
		}
		want[s] = mulDiv(int64(p.count[role])<<20, int64(share), int64(practitionerStates[7]))
	}
	for i := range weight {
		s := p.orgState(i)
		sum[s] += weight[i][2]
		want[s] -= int64(least[i][2]) << 20
	}
	for i := range weight {
		s := p.orgState(i)
		weight[i][2] = mulDiv(weight[i][2], max(want[s], 0), sum[s])
	}
}

// shareOut gives every organisation its minimum and distributes the rest of total by
// weight. It returns the cumulative sums, one more than organisations. If the minimums
// exceed the total, the last organisations get less.
func shareOut(least [][3]int, weight [][3]int64, column, total int) []uint32 {
	rest, sum := total, int64(0)
	for i := range least {
		rest -= least[i][column]
		sum += weight[i][column]
	}
	rest = max(rest, 0)
	first := make([]uint32, len(least)+1)
	minimum, cumulative := 0, int64(0)
	for i := range least {
		minimum += least[i][column]
		cumulative += weight[i][column]
		extra := int64(0)
		if sum > 0 {
			extra = mulDiv(cumulative, int64(rest), sum)
		}
		first[i+1] = uint32(min(total, minimum+int(extra)))
	}
	first[len(least)] = uint32(total)
	return first
}

// owner returns the organisation whose range in first contains index.
func owner(first []uint32, index int) int {
	return sort.Search(len(first)-1, func(i int) bool { return int(first[i+1]) > index })
}

// span returns the start and the length of the range of an organisation.
func span(first []uint32, org int) (start, n int) {
	return int(first[org]), int(first[org+1] - first[org])
}

// planEndpoints distributes endpoints to the organisations that have any. Large ones get
// more.
func (p *Plan) planEndpoints() {
	n := p.count[organization]
	least := make([][3]int, n)
	weight := make([][3]int64, n)
	for i := range n {
		s := p.stream(aspectLink, organization, i)
		if s.chance(archetypes[p.arch[i]].endpoints*10_000) && i >= anchorOrgs {
			_, services := span(p.firstSvc, i)
			weight[i][0] = int64(8 + min(services, 100))
		}
	}
	least[orgBalmain][0] = 1
	least[p.diagnostic[0]][0] = 1
	p.firstEnd = shareOut(least, weight, 0, p.count[endpoint])
	p.sharedEndpoint = int(p.firstEnd[p.diagnostic[0]])
	p.sharedServices = max(2, p.opts.Scale.of(12_000))
}

// planIdentifiers creates the bijections that keep identifiers unique.
func (p *Plan) planIdentifiers() {
	key := func(i int) stream { return p.stream(aspectIdentifier, kindCount, i) }
	p.perm.hpii = newPermutation(9_000_000, key(0))
	p.perm.hpio = newPermutation(9_000_000, key(1))
	p.perm.hspo = newPermutation(1_000_000, key(2))
	p.perm.abn = newPermutation(1_000_000_000, key(3))
	p.perm.acn = newPermutation(100_000_000, key(4))
	p.perm.ahpra = newPermutation(1_000_000_000, key(5))
	p.perm.medicare = newPermutation(1_000_000, key(6))
	total := 0
	for k := range p.base {
		p.base[k] = total
		total += p.count[k]
	}
	p.perm.provenance = newPermutation(total, key(7))
}
