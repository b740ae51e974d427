package synth

// code is a coded value with its display.
type code struct{ code, display string }

// Service types (SNOMED CT-AU) of the archetypes.
var (
	svcCardiology   = code{"789718008", "Cardiology service"}
	svcAcute        = code{"2421000175108", "Acute care inpatient service"}
	svcPathology    = code{"310074003", "Pathology service"}
	svcImaging      = code{"708175003", "Diagnostic imaging service"}
	svcPharmacy     = code{"310080006", "Pharmacy service"}
	svcMedical      = code{"700232004", "General medical service"}
	svcSurgery      = code{"310138009", "Surgical service"}
	svcGP           = code{"788007007", "General practice service"}
	svcAgedCare     = code{"1120991000168102", "Aged care residential service"}
	svcEmergency    = code{"310000008", "Emergency department service"}
	svcPhysio       = code{"722140001", "Physiotherapy service"}
	svcCommunity    = code{"413294000", "Community health services"}
	svcCrisis       = code{"1244561000168107", "Crisis counselling"}
	svcCounselling  = code{"310026003", "Counselling service"}
	svcGeriatric    = code{"1584801000168109", "Geriatric evaluation and management service"}
	svcOptometry    = code{"310105000", "Optometry service"}
	svcChiropractic = code{"722170006", "Chiropractic service"}
	svcDental       = code{"310144008", "General dental practice service"}
	svcHearing      = code{"310004004", "Hearing clinic service"}
	svcOT           = code{"310093001", "Occupational therapy service"}
	svcDietetics    = code{"310090003", "Dietetics service"}
	svcPsychology   = code{"1256181000168103", "Clinical psychology service"}
	svcEyes         = code{"310160007", "Ophthalmology service"}
	svcPodiatry     = code{"310087009", "Podiatry service"}
	svcNephrology   = code{"788003006", "Nephrology service"}
	svcPulmonary    = code{"722174002", "Pulmonary medicine service"}
	svcSpeech       = code{"310101009", "Speech and language therapy service"}
	svcEndocrine    = code{"700434000", "Endocrinology service"}
	svcMidwifery    = code{"714088003", "Midwifery service"}
)

// mentalHealth lists the service types with IAR levels of care.
var mentalHealth = map[string]bool{svcCrisis.code: true, svcCounselling.code: true, svcPsychology.code: true}

// specialistRole maps a service type to the role of a doctor in rooms of that type.
var specialistRole = map[string]code{
	svcCardiology.code: {"17561000", "Cardiologist"},
	svcSurgery.code:    {"78703002", "General surgeon"},
	svcEyes.code:       {"422234006", "Ophthalmologist"},
	svcNephrology.code: {"11911009", "Nephrologist"},
	svcPulmonary.code:  {"720503005", "Sleep medicine specialist"},
	svcEndocrine.code:  {"61894003", "Endocrinologist"},
	svcGeriatric.code:  {"90655003", "Geriatrics specialist"},
	svcPathology.code:  {"61207006", "Medical pathologist"},
	svcImaging.code:    {"66862007", "Radiologist"},
	svcGP.code:         {"62247001", "General practitioner"},
}

// doctorRoles lists the roles of other doctors, mostly in hospitals.
var doctorRoles = []code{
	{"62247001", "General practitioner"}, {"309294001", "Emergency department physician"}, {"88189002", "Anesthesiologist"},
	{"78703002", "General surgeon"}, {"80584001", "Psychiatrist"}, {"82296001", "Pediatrician"}, {"17561000", "Cardiologist"},
	{"71838004", "Gastroenterologist"}, {"309367003", "Obstetrician and gynaecologist"}, {"22731001", "Orthopedic surgeon"},
	{"66862007", "Radiologist"}, {"45544007", "Neurosurgeon"}, {"8724009", "Plastic surgeon"}, {"63098009", "Clinical immunologist"},
	{"18803008", "Dermatologist"}, {"309369000", "Cardiothoracic surgeon"}, {"24590004", "Urologist"}, {"61207006", "Medical pathologist"},
	{"85733003", "General pathologist"}, {"1726731000168108", "Interventional radiologist"}, {"304292004", "Surgeon"},
}

// professionCount is the number of registers, plus one for the peak bodies.
const professionCount = 16

// Professions that the code refers to.
const (
	nurse = iota
	medical
	psychologist
	physiotherapist
	pharmacist
	occupationalTherapist
	dental
	paramedic
	radiation
	optometrist
	chiropractor
	podiatrist
	chineseMedicine
	osteopath
	atsiPractitioner
	peakBody
)

// profession is one register of practitioners.
type profession struct {
	name   string // qualification.code.text
	prefix string // of the Ahpra registration number
	female int    // ppm
	roles  []code // drawn evenly; a role without a code is written as text
	// byState lists the registrations in the order of states, then those without a
	// principal place of practice. They are modelled on the national figures of 30 June
	// 2025.
	byState [9]int
	// items reports whether the profession claims Medicare items.
	items bool
}

var professions = [professionCount]profession{
	nurse: {"Nurse", "NMW", 880_000, []code{{"224535009", "Registered nurse"}, {"224535009", "Registered nurse"}, {"309453006", "Registered midwife"}, {"224571005", "Nurse practitioner"}},
		[9]int{8928, 143580, 6077, 108782, 45055, 12862, 141920, 52036, 13481}, false},
	medical:               {"Medical Practitioner", "MED", 472_000, doctorRoles, [9]int{2959, 44984, 1613, 30200, 10461, 3197, 36482, 14533, 3755}, true},
	psychologist:          {"Psychologist", "PSY", 804_000, []code{{"310191001", "Clinical psychologist"}}, [9]int{1364, 16341, 337, 9338, 2400, 891, 13767, 5225, 745}, true},
	physiotherapist:       {"Physiotherapist", "PHY", 631_000, []code{{"36682004", "Physiotherapist"}}, [9]int{937, 13644, 271, 9245, 3654, 771, 11849, 5630, 1760}, true},
	pharmacist:            {"Pharmacist", "PHA", 646_000, []code{{"46255001", "Pharmacist"}, {"159011008", "Community pharmacist"}}, [9]int{744, 12355, 296, 8384, 2838, 998, 10255, 4254, 788}, false},
	occupationalTherapist: {"Occupational Therapist", "OCC", 891_000, []code{{"80546007", "Occupational therapist"}}, [9]int{660, 9513, 326, 6950, 2590, 554, 8609, 4827, 394}, true},
	dental: {"Dental Practitioner", "DEN", 570_000, []code{{"106289002", "Dentist"}, {"106289002", "Dentist"}, {"26042002", "Dental hygienist"}, {"1032061000168104", "Dental therapist"}},
		[9]int{551, 8423, 198, 5898, 2266, 481, 6583, 3256, 749}, false},
	paramedic: {"Paramedic", "PAR", 506_000, []code{{"397897005", "Paramedic"}}, [9]int{368, 6300, 290, 7320, 1690, 726, 7700, 1830, 277}, false},
	radiation: {"Medical Radiation Practitioner", "MRP", 692_000, []code{{"159017007", "Diagnostic radiographer"}, {"159017007", "Diagnostic radiographer"}, {"159018002", "Radiotherapist"}, {"1256114007", "Nuclear medicine technologist"}},
		[9]int{373, 6712, 150, 4300, 1506, 433, 5102, 1745, 307}, false},
	optometrist:      {"Optometrist", "OPT", 601_000, []code{{"28229004", "Optometrist"}}, [9]int{112, 2435, 42, 1534, 385, 125, 1900, 582, 225}, true},
	chiropractor:     {"Chiropractor", "CHI", 421_000, []code{{"3842006", "Chiropractor"}}, [9]int{92, 2234, 30, 1121, 472, 77, 1767, 773, 203}, true},
	podiatrist:       {"Podiatrist", "POD", 590_000, []code{{"159034004", "Podiatrist"}}, [9]int{85, 1655, 32, 1084, 548, 143, 2000, 576, 86}, true},
	chineseMedicine:  {"Chinese Medicine Practitioner", "CMR", 601_000, []code{{"", "Chinese medicine practitioner"}}, [9]int{71, 1967, 17, 925, 181, 35, 1343, 255, 102}, false},
	osteopath:        {"Osteopath", "OST", 541_000, []code{{"76231001", "Osteopath"}}, [9]int{62, 971, 5, 344, 62, 75, 1948, 105, 74}, true},
	atsiPractitioner: {"Aboriginal and Torres Strait Islander Health Practitioner", "ATS", 764_000, []code{{"826241000168109", "Aboriginal and Torres Strait Islander health worker"}}, [9]int{8, 187, 374, 193, 90, 6, 20, 172, 1}, false},
	peakBody:         {"Allied health, peak body member", "", 800_000, nil, [9]int{1045, 18700, 562, 12320, 4140, 1270, 15410, 6553, 0}, true},
}

// peakBodies lists peak bodies with the profession and role of their members.
var peakBodies = []struct {
	acronym, name, profession string
	role                      code
}{
	{"aasw", "Australian Association of Social Workers", "Social Worker", code{"106328005", "Social worker"}},
	{"da", "Dietitians Australia", "Dietitian", code{"159033005", "Dietitian"}},
	{"spa", "Speech Pathology Australia", "Speech Pathologist", code{"159026005", "Speech pathologist"}},
	{"essa", "Exercise and Sports Science Australia", "Exercise Physiologist", code{"1011471000168104", "Exercise physiologist"}},
	{"auda", "Audiology Australia", "Audiologist", code{"309418004", "Audiologist"}},
	{"aca", "Australian Counselling Association", "Counsellor", code{"224595007", "Professional counsellor"}},
	{"adea", "Australian Diabetes Educators Association", "Diabetes Educator", code{"1011451000168108", "Diabetes educator"}},
	{"asar", "Australian Sonographer Accreditation Registry", "Sonographer", code{"789543004", "Sonographer"}},
}

// languages lists languages other than English, weighted by the Census 2021.
var languages = []code{
	{"cmn", "Mandarin"}, {"ar", "Arabic"}, {"vi", "Vietnamese"}, {"yue", "Cantonese"}, {"pa", "Punjabi"}, {"el", "Greek"}, {"it", "Italian"},
	{"hi", "Hindi"}, {"zh", "Chinese"}, {"es", "Spanish"}, {"ne", "Nepali"}, {"fil", "Filipino"}, {"ko", "Korean"}, {"fa", "Persian"},
	{"ta", "Tamil"}, {"ur", "Urdu"}, {"pt", "Portuguese"}, {"tr", "Turkish"}, {"de", "German"}, {"hr", "Croatian"}, {"mk", "Macedonian"},
	{"sr", "Serbian"}, {"pl", "Polish"}, {"id", "Indonesian"}, {"th", "Thai"}, {"ja", "Japanese"}, {"fr", "French"}, {"asf", "Auslan"}, {"pjt", "Pitjantjatjara"},
}

var languageWeights = cumulate([]int{270, 140, 130, 120, 90, 90, 90, 80, 70, 65, 50, 50, 45, 40, 40, 35, 22, 20, 20, 20, 20, 20, 18, 18, 15, 15, 15, 8, 5})

// billing lists the codes of service-provision-cs, with their weights in billingWeights.
var (
	billing        = []code{{"MIX", "Mixed Billing"}, {"FAP", "Fees Apply"}, {"BB", "Bulk Billing"}, {"NFE", "No Fee"}}
	billingWeights = cumulate([]int{35, 30, 20, 15})
)

// payloads lists payload types of secure messages.
var payloads = []code{
	{"http://ns.hl7.org.au/hl7v2/profiles/HL7AU-OO-REF-SIMPLIFIED-201706", "HL7 V2.4 REF message (Level 2)"},
	{"http://ns.hl7.org.au/hl7v2/profiles/HL7AU-OO-REF-SIMPLIFIED-201706-L1", "HL7 V2.4 REF message (Level 1)"},
	{"http://ns.electronichealth.net.au/ds/cda/eReferral/3A/1.0", "eReferral CDA document"},
	{"http://ns.electronichealth.net.au/ds/cda/DischargeSummary/3A/1.0", "Discharge summary CDA document"},
}
