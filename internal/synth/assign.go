package synth

import "math/bits"

// planPractitioners assigns practitioners to blocks by profession and state, draws the
// number of roles of each, and assigns them to roles.
//
// The state of a role is that of its organisation. Its profession is drawn from the mix of
// the archetype, after the mix is fitted within each state to the roles that the state's
// practitioners can take. The shares of organisations and of practitioners are both met.
func (p *Plan) planPractitioners() {
	p.layPractitioners()
	p.drawRoleCounts()
	mix := p.fitProfessions()
	p.drawProfessions(mix)
	p.fillRoles()
}

// block returns the number of a block of practitioners: for each profession, the eight
// states and then those without a principal place of practice.
func block(profession, state int) int { return profession*9 + state }

// layPractitioners sets the sizes of the blocks from the national table.
func (p *Plan) layPractitioners() {
	total := 0
	for _, profession := range professions {
		for _, n := range profession.byState {
			total += n
		}
	}
	p.pracEnd = make([]int, professionCount*9)
	cumulative := 0
	for i := range professions {
		for s, n := range professions[i].byState {
			cumulative += n
			p.pracEnd[block(i, s)] = p.count[practitioner] * cumulative / total
		}
	}
	// The first of the Balmain cardiologists exists at every scale.
	if b := block(medical, stateNSW); p.pracEnd[b] == p.pracEnd[b-1] {
		p.pracEnd[b]++
	}
}

// practitionerBlock returns the profession and the state (8: none) of a practitioner.
func (p *Plan) practitionerBlock(prac int) (profession, state int) {
	lo, hi := 0, len(p.pracEnd)-1
	for lo < hi {
		if mid := (lo + hi) / 2; prac < p.pracEnd[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo / 9, lo % 9
}

// blockSpan returns the practitioners of a block.
func (p *Plan) blockSpan(b int) (start, end int) {
	if b > 0 {
		start = p.pracEnd[b-1]
	}
	return start, p.pracEnd[b]
}

// manyRoles is the maximum number of roles of a practitioner.
const manyRoles = 60

// roleShares holds the shares, in thousandths, of practitioners with a principal place of
// practice by number of roles: none, 1, 2, 3, 4 to 6, 7 to 20, 21 to 60.
var roleShares = cumulate([]int{201, 389, 185, 103, 87, 33, 2})

// drawRoleCounts draws the number of roles of each practitioner.
func (p *Plan) drawRoleCounts() {
	p.slots = make([]uint8, p.count[practitioner])
	for b := range p.pracEnd {
		start, end := p.blockSpan(b)
		if b%9 == 8 {
			continue // no principal place of practice, no role
		}
		for i := start; i < end; i++ {
			s := p.stream(aspectRoles, practitioner, i)
			switch class := s.pick(roleShares); class {
			case 4:
				p.slots[i] = uint8(4 + s.n(3))
			case 5:
				p.slots[i] = uint8(7 + min(s.n(14), s.n(14), s.n(14)))
			case 6:
				p.slots[i] = uint8(21 + min(s.n(40), s.n(40)))
			default:
				p.slots[i] = uint8(class)
			}
		}
	}
	if start, end := p.blockSpan(block(medical, stateNSW)); end-start > 20 {
		p.slots[start+1] = manyRoles
	}
}

// professionMix holds the cumulative weights of professions by state and archetype.
type professionMix [8][archCount][]int

// fitProfessions fits the mixes of the archetypes to the roles that the practitioners of
// each state can take, by iterative proportional fitting in integers.
func (p *Plan) fitProfessions() *professionMix {
	var rows [8][archCount]int64
	for i := range p.arch {
		_, n := span(p.firstRole, i)
		rows[p.orgState(i)][p.arch[i]] += int64(n)
	}
	mix := new(professionMix)
	for s := range states {
		var columns [professionCount]int64
		for c := range columns {
			start, end := p.blockSpan(block(c, s))
			for i := start; i < end; i++ {
				columns[c] += int64(p.slots[i])
			}
		}
		cells := fit(&rows[s], &columns)
		for a := range cells {
			weights := make([]int, professionCount)
			for c := range weights {
				weights[c] = int(cells[a][c])
			}
			mix[s][a] = cumulate(weights)
		}
	}
	return mix
}

// fitRounds is the number of iterations. It meets the sums within one part in a thousand.
const fitRounds = 24

// fit returns the fitted matrix for the given row and column sums.
func fit(rows *[archCount]int64, columns *[professionCount]int64) *[archCount][professionCount]int64 {
	const unit = 1 << 16 // cells count roles in fractions of 1/unit
	cells := new([archCount][professionCount]int64)
	for a := range cells {
		for c := range cells[a] {
			cells[a][c] = int64(archetypes[a].affinity[c]) * unit
		}
	}
	for range fitRounds {
		for c, want := range columns {
			sum := int64(0)
			for a := range cells {
				sum += cells[a][c]
			}
			for a := range cells {
				cells[a][c] = mulDiv(cells[a][c], want*unit, sum)
			}
		}
		for a, want := range rows {
			sum := int64(0)
			for c := range cells[a] {
				sum += cells[a][c]
			}
			for c := range cells[a] {
				cells[a][c] = mulDiv(cells[a][c], want*unit, sum)
			}
		}
	}
	return cells
}

// mulDiv returns a*b/c without intermediate overflow. The arguments must not be negative
// and the result must fit. It returns 0 if c is 0.
func mulDiv(a, b, c int64) int64 {
	if c == 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return 0
	}
	quotient, _ := bits.Div64(hi, lo, uint64(c))
	return int64(quotient)
}

// drawProfessions draws the profession of every role.
func (p *Plan) drawProfessions(mix *professionMix) {
	p.roleProf = make([]uint8, p.count[role])
	for org := range p.arch {
		start, n := span(p.firstRole, org)
		weights := mix[p.orgState(org)][p.arch[org]]
		for i := start; i < start+n; i++ {
			s := p.stream(aspectRoles, role, i)
			switch {
			case org == orgBalmain:
				p.roleProf[i] = medical
			case weights[professionCount-1] == 0:
				p.roleProf[i] = nurse
			default:
				p.roleProf[i] = uint8(s.pick(weights))
			}
		}
	}
}

// fillRoles assigns the practitioners of each block to the roles of the block.
func (p *Plan) fillRoles() {
	p.rolePrac = make([]uint32, p.count[role])
	perBlock := make([][]uint32, professionCount*9)
	for org := range p.arch {
		start, n := span(p.firstRole, org)
		for i := start; i < start+n; i++ {
			b := p.staffed(int(p.roleProf[i]), p.orgState(org))
			p.roleProf[i] = uint8(b / 9)
			perBlock[b] = append(perBlock[b], uint32(i))
		}
	}
	for b, roles := range perBlock {
		deck := p.deck(b, len(roles))
		for i, r := range roles {
			p.rolePrac[r] = deck[i]
		}
	}
	clear(p.slots)
	for _, prac := range p.rolePrac {
		if p.slots[prac] < 255 {
			p.slots[prac]++
		}
	}
}

// staffed returns the block of a profession and state. If that block is empty, as it may be
// in a small directory, it returns a larger one.
func (p *Plan) staffed(profession, state int) int {
	for _, b := range [4]int{block(profession, state), block(profession, stateNSW), block(nurse, state), block(nurse, stateNSW)} {
		if start, end := p.blockSpan(b); start < end {
			return b
		}
	}
	return block(medical, stateNSW)
}

// deck returns n practitioners of a block in random order, each as often as it has roles.
// If n is larger than their roles, practitioners with roles are repeated.
func (p *Plan) deck(b, n int) []uint32 {
	start, end := p.blockSpan(b)
	cards := make([]uint32, 0, n)
	for i := start; i < end; i++ {
		for range p.slots[i] {
			cards = append(cards, uint32(i))
		}
	}
	s := p.stream(aspectRoles, kindCount, b)
	if len(cards) == 0 {
		cards = append(cards, uint32(start))
	}
	for i := len(cards) - 1; i > 0; i-- {
		j := s.n(i + 1)
		cards[i], cards[j] = cards[j], cards[i]
	}
	for dealt := len(cards); len(cards) < n; {
		cards = append(cards, cards[s.n(dealt)])
	}
	return cards[:n]
}
