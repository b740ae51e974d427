package synth

// dirtyEvery is the number of clean records between two broken ones: 2 %.
const dirtyEvery = 50

// dirtyKey is the first key of broken records, beyond the keys of clean ones.
const dirtyKey = 4_000_000

// faultName names a fault of a broken record.
type faultName string

const (
	badLuhn           faultName = "bad-luhn"
	danglingReference faultName = "dangling-reference"
	twoHPIO           faultName = "two-hpio"
	suspendedLocation faultName = "location-suspended"
	unknownCode       faultName = "unknown-code"
	longAhpra         faultName = "ahpra-12-digits"
	duplicateHPII     faultName = "duplicate-hpii"
)

// warned is the expected handling of a broken record: it is loaded with a warning.
const warned = "warned"

// fault describes what is wrong with a broken record and how a load should handle it. A nil
// fault means none.
type fault struct {
	Kind     faultName `json:"kind"`
	Expected string    `json:"expected"` // always warned
	Rule     string    `json:"rule"`     // the rule of the guide, or "impl" if there is none
	Reason   string    `json:"reason"`
}

func (f *fault) is(name faultName) bool { return f != nil && f.Kind == name }

var faults = map[faultName]*fault{
	badLuhn:           {badLuhn, warned, "inv-hpii-2", "identifier[HPI-I].value: the check digit is wrong"},
	danglingReference: {danglingReference, warned, "impl", "a reference points to a resource that does not exist"},
	twoHPIO:           {twoHPIO, warned, "cardinality", "identifier[HPI-O]: at most one, but there are two"},
	suspendedLocation: {suspendedLocation, warned, "inv-05-status-values", "Location.status: must be active or inactive, is suspended"},
	unknownCode:       {unknownCode, warned, "required-binding", "HealthcareService.serviceProvisionCode: ZZZ is not in the value set"},
	longAhpra:         {longAhpra, warned, "inv-ahpra-0", "qualification.identifier[Ahpra].value: three letters and ten digits, but there are twelve"},
	duplicateHPII:     {duplicateHPII, warned, "A-77", "identifier[HPI-I].value: another Practitioner has the same"},
}

// dirtyCount returns the number of broken records of a type. Coverage areas, the last
// locations, are never broken.
func (p *Plan) dirtyCount(k kind) int {
	switch {
	case !p.opts.Dirty:
		return 0
	case k == location:
		return p.locations / dirtyEvery
	}
	return p.count[k] / dirtyEvery
}

// dirty returns the n-th broken record of a type, which follows n+1 times dirtyEvery clean
// ones.
func (p *Plan) dirty(k kind, n int) record {
	r := p.original(k, n*dirtyEvery)
	r.key, r.flags = dirtyKey+2*n, 0
	r.fault = p.faultOf(k, n)
	return r
}

// dirtyLine returns the line number of the n-th broken record.
func dirtyLine(n int) int { return (dirtyEvery + 1) * (n + 1) }

// faultOf returns the fault of the n-th broken record of a type.
func (p *Plan) faultOf(k kind, n int) *fault {
	name := danglingReference
	switch k {
	case organization:
		name = twoHPIO
	case location:
		name = suspendedLocation
	case service:
		name = unknownCode
	case practitioner:
		name = [3]faultName{badLuhn, longAhpra, duplicateHPII}[n%3]
		if name == longAhpra && p.practitionerProfession(n*dirtyEvery) == peakBody {
			name = badLuhn // a peak body member has no Ahpra number to break
		}
	}
	return faults[name]
}

// dangling writes a reference to a record that does not exist.
func (p *Plan) dangling(e *enc, name string, k kind, key int) {
	p.reference(e, name, k, dirtyKey*10+key)
}
