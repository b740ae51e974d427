package synth

// archetype is a kind of organisation. Numbers are national. The extra fields count the
// locations, services and roles of the kind beyond the one that every organisation has.
type archetype struct {
	name                          string
	count                         int
	extraLoc, extraSvc, extraRole int
	endpoints                     int // percentage of organisations with endpoints
	services                      []code
	suffix                        []string // of organisation names, after a place or a family name
	named                         bool     // named after a person instead of a place
	tree                          bool     // has seed organisations with network organisations below them
	exact                         bool     // locations have the exact position of their place
	hsp                           bool     // identified by an HSP-O
	locationType                  code     // of v3-RoleCode
	affinity                      [professionCount]int
}

// Indices of the archetypes that the code refers to.
const (
	archNetwork = iota
	archPrivateHospital
	archGP
	archSpecialist
	archAllied
	archDental
	archPharmacy
	archDiagnostics
	archAgedCare
	archHomeCare
	archOptometry
	archCounselling
	archCommunity
	archAmbulance
	archTelehealth
	archNurseLed
	archInactive
	archCount
)

var archetypes = [archCount]archetype{
	archNetwork: {name: "state health network", count: 2138, extraLoc: 23000, extraSvc: 140000, extraRole: 800000, endpoints: 95, tree: true, exact: true,
		services:     []code{svcAcute, svcEmergency, svcSurgery, svcMedical, svcCommunity, svcMidwifery, svcGeriatric, svcNephrology, svcCardiology, svcPathology, svcImaging, svcPhysio, svcOT, svcPharmacy},
		suffix:       []string{"Hospital and Health Service", "Hospital", "Community Health Centre", "Base Hospital", "Multi-Purpose Service"},
		locationType: code{"HOSP", "Hospital"},
		affinity:     [professionCount]int{640, 180, 25, 35, 15, 30, 8, 12, 15, 0, 0, 3, 0, 0, 2, 45}},
	archPrivateHospital: {name: "private hospital", count: 700, extraLoc: 900, extraSvc: 20000, extraRole: 205000, endpoints: 80, tree: true, exact: true,
		services:     []code{svcSurgery, svcAcute, svcMedical, svcCardiology, svcMidwifery, svcImaging},
		suffix:       []string{"Private Hospital", "Day Surgery", "Private"},
		locationType: code{"HOSP", "Hospital"},
		affinity:     [professionCount]int{660, 200, 15, 35, 15, 15, 0, 0, 25, 0, 0, 1, 0, 0, 0, 10}},
	archGP: {name: "general practice", count: 7540, extraLoc: 5000, extraSvc: 38000, extraRole: 150000, endpoints: 90, tree: true, exact: true,
		services:     []code{svcGP, svcGP, svcGP, svcMedical, svcDietetics, svcPathology},
		suffix:       []string{"Medical Centre", "Family Practice", "General Practice", "Doctors", "Medical Clinic"},
		locationType: code{"FMC", "Family medicine clinic"},
		affinity:     [professionCount]int{330, 560, 20, 10, 5, 2, 0, 0, 0, 0, 0, 10, 0, 0, 5, 50}},
	archSpecialist: {name: "specialist rooms", count: 15000, extraLoc: 6700, extraSvc: 14000, extraRole: 75000, endpoints: 60,
		services:     []code{svcCardiology, svcSurgery, svcEyes, svcNephrology, svcPulmonary, svcEndocrine, svcGeriatric},
		suffix:       []string{"Specialist Rooms", "Specialist Centre", "Consulting Suites"},
		named:        true,
		locationType: code{"HOSP", "Hospital"},
		affinity:     [professionCount]int{120, 820, 10, 5, 2, 2, 0, 0, 10, 5, 0, 2, 0, 0, 0, 20}},
	archAllied: {name: "allied health", count: 45000, extraLoc: 13000, extraSvc: 26000, extraRole: 140000, endpoints: 25,
		services:     []code{svcPhysio, svcOT, svcChiropractic, svcPodiatry, svcSpeech, svcDietetics, svcPsychology, svcHearing},
		suffix:       []string{"Physiotherapy", "Allied Health", "Therapy", "Health Studio", "Rehabilitation"},
		locationType: code{"PTRES", "Patient's residence"},
		affinity:     [professionCount]int{5, 5, 280, 250, 5, 170, 0, 0, 0, 5, 60, 55, 45, 35, 3, 120}},
	archDental: {name: "dental", count: 9000, extraLoc: 3000, extraSvc: 6000, extraRole: 60000, endpoints: 10,
		services: []code{svcDental}, suffix: []string{"Dental", "Family Dental", "Dental Care", "Smiles"},
		locationType: code{"HD", "Hospital department"},
		affinity:     [professionCount]int{30, 0, 0, 0, 0, 0, 950, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	archPharmacy: {name: "pharmacy", count: 5900, extraLoc: 0, extraSvc: 4000, extraRole: 30000, endpoints: 70,
		services: []code{svcPharmacy}, suffix: []string{"Pharmacy", "Chemist", "Discount Pharmacy"},
		locationType: code{"OUTPHARM", "Outpatient pharmacy"},
		affinity:     [professionCount]int{40, 0, 0, 0, 950, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10}},
	archDiagnostics: {name: "pathology and imaging", count: 85, extraLoc: 11000, extraSvc: 31000, extraRole: 65000, endpoints: 100,
		services: []code{svcPathology, svcImaging}, suffix: []string{"Pathology", "Radiology", "Medical Imaging", "Diagnostics"},
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{350, 300, 0, 0, 0, 0, 0, 0, 300, 0, 0, 0, 0, 0, 0, 50}},
	archAgedCare: {name: "residential aged care", count: 3353, extraLoc: 0, extraSvc: 5000, extraRole: 145000, endpoints: 50, tree: true,
		services: []code{svcAgedCare, svcGeriatric}, suffix: []string{"Aged Care", "Residential Care", "Gardens Aged Care", "Lodge"},
		locationType: code{"NCCF", "Nursing or custodial care facility"},
		affinity:     [professionCount]int{880, 20, 0, 40, 0, 30, 0, 0, 0, 0, 0, 10, 0, 0, 0, 20}},
	archHomeCare: {name: "home care and support", count: 1800, extraLoc: 0, extraSvc: 4500, extraRole: 35000, endpoints: 15, hsp: true,
		services: []code{svcCommunity, svcOT, svcPhysio}, suffix: []string{"Home Care", "Home Support", "Care at Home"},
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{600, 0, 0, 100, 0, 150, 0, 0, 0, 0, 0, 20, 0, 0, 5, 120}},
	archOptometry: {name: "optometry", count: 3500, extraLoc: 400, extraSvc: 1000, extraRole: 11000, endpoints: 20,
		services: []code{svcOptometry}, suffix: []string{"Optometry", "Eyecare", "Optical"},
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{0, 0, 0, 0, 0, 0, 0, 0, 0, 990, 0, 0, 0, 0, 0, 10}},
	archCounselling: {name: "counselling and peak-body practice", count: 20000, extraLoc: 400, extraSvc: 4000, extraRole: 25000, endpoints: 10,
		services: []code{svcCounselling, svcPsychology, svcSpeech, svcDietetics, svcCrisis}, suffix: []string{"Counselling", "Psychology", "Wellbeing", "Speech and Nutrition"}, named: true,
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{0, 5, 380, 0, 0, 20, 0, 0, 0, 0, 0, 0, 40, 5, 0, 500}},
	archCommunity: {name: "community and ACCHO", count: 2200, extraLoc: 300, extraSvc: 2500, extraRole: 18000, endpoints: 40,
		services: []code{svcCommunity, svcGP, svcMidwifery, svcCounselling, svcHearing}, suffix: []string{"Community Health", "Aboriginal Medical Service", "Aboriginal Health Service"},
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{420, 160, 40, 30, 5, 40, 30, 0, 0, 0, 0, 15, 0, 0, 150, 110}},
	archAmbulance: {name: "ambulance service", count: 8, extraLoc: 1200, extraSvc: 1200, extraRole: 45000, endpoints: 50,
		services: []code{svcEmergency}, suffix: []string{"Ambulance Service"},
		locationType: code{"AMB", "Ambulance"},
		affinity:     [professionCount]int{10, 5, 0, 0, 0, 0, 0, 985, 0, 0, 0, 0, 0, 0, 0, 0}},
	archTelehealth: {name: "telehealth only", count: 300, extraLoc: 0, extraSvc: 600, extraRole: 3000, endpoints: 40,
		services: []code{svcGP, svcPsychology, svcCrisis, svcMedical}, suffix: []string{"Telehealth", "Virtual Care", "Online Health"},
		affinity: [professionCount]int{200, 400, 200, 10, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 175}},
	archNurseLed: {name: "nurse-led and other small practice", count: 6500, extraLoc: 0, extraSvc: 500, extraRole: 18000, endpoints: 15,
		services: []code{svcCommunity, svcMidwifery}, suffix: []string{"Nursing", "Midwifery", "Community Nursing"}, named: true,
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{900, 40, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 50}},
	archInactive: {name: "closed", count: 26976, extraRole: 8000, endpoints: 5,
		services: []code{svcGP, svcPhysio, svcDental, svcPharmacy, svcCounselling}, suffix: []string{"Clinic", "Practice", "Health Centre", "Rooms"},
		locationType: code{"COMM", "Community Location"},
		affinity:     [professionCount]int{300, 200, 80, 80, 60, 50, 50, 0, 20, 20, 15, 10, 10, 5, 0, 100}},
}
