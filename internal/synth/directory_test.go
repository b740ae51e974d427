package synth

import (
	"bytes"
	"math"
	"regexp"
	"strings"
	"testing"
)

// TestDirectory checks a directory of scale 3 against the rules of the resource model and
// the intended shares.
func TestDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: generates a directory")
	}
	d := readAll(t, Options{Scale: 3000, Seed: 3})
	t.Run("references", func(t *testing.T) { d.t = t; checkReferences(d) })
	t.Run("rules", func(t *testing.T) { checkRules(t, d) })
	t.Run("unique", func(t *testing.T) { checkUnique(t, d) })
	t.Run("graph", func(t *testing.T) { checkGraph(t, d) })
	t.Run("shares", func(t *testing.T) { checkShares(t, d) })
	t.Run("skew", func(t *testing.T) { checkSkew(t, d, 3) })
}

var (
	ahpraForm   = regexp.MustCompile(`^[A-Z]{3}9[0-9]{9}$`)
	postcode    = regexp.MustCompile(`^[0-9]{4}$`)
	instantForm = regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	phoneForm   = regexp.MustCompile(`^\(0[2378]\) (5550|7010) \d{4}$`)
)

// checkRules checks cardinalities, fixed values and invariants of each record.
func checkRules(t *testing.T, d *directory) {
	for _, r := range d.order {
		fail := func(rule string) { t.Errorf("%s/%s breaks %s: %s", r.typ, r.id, rule, r.line) }
		must := func(ok bool, rule string) {
			if !ok {
				fail(rule)
			}
		}
		b := r.body
		must(instantForm.MatchString(text(b, "meta", "lastUpdated")), "instant")
		must(text(b, "meta", "lastUpdated") <= "2026-08-20T00:00:02", "not after day 0")
		must(!bytes.Contains(r.line, []byte(`{}`)) && !bytes.Contains(r.line, []byte(`[]`)), "no empty object or array")
		coverage := r.typ == "Location" && strings.HasSuffix(text(b, "meta", "profile", 0), "coverage-area")
		if r.typ == "Location" && !coverage || r.typ == "Endpoint" || r.typ == "HealthcareService" || r.typ == "PractitionerRole" {
			must(len(ident(b, sysLocal)) == 1, "local identifier 1..1")
			must(countType(b, "RI") == 1, "source identifier 1..1")
		}
		for _, contact := range list(b, "telecom") {
			if text(contact, "system") == "phone" {
				must(phoneForm.MatchString(text(contact, "value")), "phone number for fiction")
			}
		}
		isInactive := b["active"] == false || text(b, "status") == "inactive" || text(b, "status") == "off" || text(b, "status") == "suspended"
		must(isInactive == (ext(b, "/deactivated") != nil), "deactivated with every inactive record, and only there")
		switch r.typ {
		case "Organization":
			checkOrganization(must, b)
		case "Location":
			checkLocation(must, b, coverage)
		case "Endpoint":
			must(list(b, "payloadType") != nil, "payloadType 1..*")
			must(text(b, "address") != "" && text(b, "connectionType", "code") != "", "address and connectionType 1..1")
		case "HealthcareService":
			must(len(list(b, "type")) == 1 && text(b, "type", 0, "coding", 0, "display") != "", "one type with a display")
			must(len(list(b, "location")) == 1 && text(b, "name") != "", "one location, a name")
			_, ok := b["active"].(bool)
			must(ok, "active 1..1")
		case "Practitioner":
			checkPractitioner(must, b)
		case "PractitionerRole":
			must(len(list(b, "code")) == 1 && len(list(b, "location")) == 1 && len(list(b, "healthcareService")) == 1, "code, location, service 1..1")
			must(list(b, "specialty") == nil, "no specialty")
			must((len(ident(b, sysAhpra)) == 1) != (countType(b, "PRN") == 1), "Ahpra or peak body number")
			for _, number := range ident(b, sysMed) {
				must(!medicareOK(number), "Medicare number with a wrong check character")
			}
			must(text(b, "period", "end") == "" || text(b, "period", "start") <= text(b, "period", "end"), "per-1")
		case "Provenance":
			must(len(list(b, "target")) == 1 && len(list(b, "agent")) >= 1 && text(b, "recorded") != "", "target 1..1, agent, recorded")
		}
		if t.Failed() {
			return
		}
	}
}

func countType(b any, code string) (n int) {
	for _, i := range list(b, "identifier") {
		if text(i, "type", "coding", 0, "code") == code {
			n++
		}
	}
	return n
}

func checkOrganization(must func(bool, string), b any) {
	hpio, hspo := ident(b, sysHPIO), ident(b, sysHSPO)
	must(len(hpio)+len(hspo) == 1, "exactly one of HPI-O and HSP-O")
	for _, v := range hpio {
		must(luhnOK(v) && strings.HasPrefix(v, "800362"), "inv-hpio")
	}
	for _, v := range hspo {
		must(luhnOK(v) && strings.HasPrefix(v, "800364100"), "inv-hspo")
	}
	must(len(ident(b, sysABN)) == 1 && !abnOK(ident(b, sysABN)[0]) && len(ident(b, sysABN)[0]) == 11, "one ABN with wrong check digits")
	for _, v := range ident(b, sysACN) {
		must(len(v) == 9 && !acnOK(v), "ACN with a wrong check digit")
	}
	_, ok := at(b, "active").(bool)
	must(ok, "active 1..1")
	must(len(list(b, "address")) == 1 && text(b, "address", 0, "type") == "physical", "one physical address")
	must((text(b, "name") != "") != (at(b, "_name") != nil), "a name or a masked name")
}

func checkLocation(must func(bool, string), b any, coverage bool) {
	if coverage {
		must(text(b, "address", "country") == "AU", "country AU")
		must(text(b, "address", "postalCode") == "" || postcode.MatchString(text(b, "address", "postalCode")), "four digits")
		return
	}
	codes := ""
	for _, typ := range list(b, "type") {
		codes += text(typ, "coding", 0, "code") + " "
	}
	must(text(b, "status") != "" && text(b, "name") != "" && codes != "", "status, name, type")
	must(!strings.Contains(codes, "MOBL") || codes == "MOBL COMM ", "inv-02-type-mobl-requires-modifier")
	must(!strings.Contains(codes, "VI ") || codes == "VI ", "inv-03-type-vi-should-not-have-modifier")
	must(at(b, "physicalType") == nil || at(b, "address") != nil, "inv-01-address-requirement")
	must(text(b, "managingOrganization", "reference") != "", "managingOrganization 1..1")
	for _, v := range ident(at(b, "address"), "http://hl7.org.au/id/gnafidentifier") {
		must(len(v) <= 15, "G-NAF at most 15 characters")
	}
}

func checkPractitioner(must func(bool, string), b any) {
	hpii := ident(b, sysHPII)
	must(len(hpii) == 1 && luhnOK(hpii[0]) && strings.HasPrefix(hpii[0], "800361"), "one HPI-I, inv-hpii")
	must(ext(b, "individual-recordedSexOrGender") != nil, "recordedSexOrGender 1..1")
	official := 0
	for _, name := range list(b, "name") {
		if text(name, "use") == "official" {
			official++
		}
		must(text(name, "family") != "", "family 1..1")
	}
	must(official == 1, "one official name")
	must(list(b, "qualification") != nil, "qualification 1..*")
	for _, q := range list(b, "qualification") {
		must(text(q, "code", "text") != "", "qualification.code.text 1..1")
		for _, v := range ident(q, sysAhpra) {
			must(ahpraForm.MatchString(v), "inv-ahpra-0")
		}
	}
	for _, member := range []string{"gender", "birthDate", "photo", "address"} {
		must(at(b, member) == nil, "no "+member)
	}
}

func checkUnique(t *testing.T, d *directory) {
	seen := map[string]string{}
	for _, r := range d.order {
		values := list(r.body, "identifier")
		if r.typ == "Practitioner" {
			for _, q := range list(r.body, "qualification") {
				values = append(values, list(q, "identifier")...)
			}
		}
		for _, i := range values {
			system, value := text(i, "system"), text(i, "value")
			if r.typ == "PractitionerRole" && (system == sysMed || system == sysAhpra || strings.Contains(system, "peakbody")) {
				continue // the identifiers of the practitioner
			}
			key := system + "|" + value
			if strings.Contains(system, "location-specific") || strings.Contains(system, "nata-site") {
				continue // has only six digits
			}
			if other := seen[key]; other != "" {
				t.Errorf("%s identifies %s/%s and %s", key, r.typ, r.id, other)
			}
			seen[key] = r.typ + "/" + r.id
		}
	}
}

// checkGraph checks that records are consistent with the records they refer to.
func checkGraph(t *testing.T, d *directory) {
	ref := func(r *resource, path ...any) string { return text(r.body, append(path, "reference")...) }
	for _, r := range d.order {
		switch r.typ {
		case "Organization":
			depth := 0
			for up := ref(r, "partOf"); up != ""; up = ref(d.target(up), "partOf") {
				if depth++; depth >= depthLimit {
					t.Fatalf("Organization/%s is %d levels deep", r.id, depth)
				}
			}
		case "HealthcareService":
			if ref(d.target(ref(r, "location", 0)), "managingOrganization") != ref(r, "providedBy") {
				t.Fatalf("HealthcareService/%s has a location of another organisation", r.id)
			}
			for i := range list(r.body, "coverageArea") {
				if area := d.target(ref(r, "coverageArea", i)); !strings.HasSuffix(text(area.body, "meta", "profile", 0), "coverage-area") {
					t.Fatalf("HealthcareService/%s covers a location that is not a coverage area", r.id)
				}
			}
		case "PractitionerRole":
			svc, prac := d.target(ref(r, "healthcareService", 0)), d.target(ref(r, "practitioner"))
			if ref(svc, "providedBy") != ref(r, "organization") || ref(svc, "location", 0) != ref(r, "location", 0) {
				t.Fatalf("PractitionerRole/%s does not have the location of its service", r.id)
			}
			found := false
			for _, i := range list(r.body, "identifier") {
				for _, q := range list(prac.body, "qualification") {
					found = found || text(q, "identifier", 0, "value") == text(i, "value")
				}
			}
			if !found {
				t.Fatalf("PractitionerRole/%s has a registration that its practitioner does not have", r.id)
			}
		}
	}
}

// checkShares compares shares, in percent, with the intended ones.
func checkShares(t *testing.T, d *directory) {
	share := func(what string, want, tolerance float64, typ string, fits func(*resource) bool) {
		t.Helper()
		n, of := 0, 0
		for _, r := range d.order {
			if r.typ == typ {
				of++
				if fits(r) {
					n++
				}
			}
		}
		if got := 100 * float64(n) / float64(of); math.Abs(got-want) > tolerance {
			t.Errorf("%s: %.2f %% of %d, want %.2f ± %.2f", what, got, of, want, tolerance)
		}
	}
	isSuppressed := func(r *resource) bool { return ext(r.body, "/suppressed") != nil }
	isInactive := func(r *resource) bool { return ext(r.body, "/deactivated") != nil }
	for typ, want := range map[string][3]float64{ // inactive, suppressed, tolerance
		"Organization": {18, 1.5, 1}, "Practitioner": {6, 2.5, 0.6}, "PractitionerRole": {15, 3, 0.6},
		"HealthcareService": {12, 1, 1}, "Location": {10, 1, 1.5}, "Endpoint": {15, 0.5, 3},
	} {
		share(typ+" inactive", want[0], want[2], typ, isInactive)
		share(typ+" suppressed", want[1], want[2], typ, isSuppressed)
	}
	roles := map[string]int{}
	for _, r := range d.byID["PractitionerRole"] {
		roles[text(r.body, "practitioner", "reference")]++
	}
	between := func(lo, hi int) func(*resource) bool {
		return func(r *resource) bool { n := roles["Practitioner/"+r.id]; return n >= lo && n <= hi }
	}
	for _, class := range []struct {
		lo, hi int
		want   float64
	}{{0, 0, 22}, {1, 1, 38}, {2, 2, 18}, {3, 3, 10}, {4, 6, 8.5}, {7, 20, 3.3}, {21, 60, 0.2}} {
		share("practitioners with roles from "+string(appendDigits(nil, class.lo, 2)), class.want, 0.5+class.want/8, "Practitioner", between(class.lo, class.hi))
	}
	profession := func(name string) func(*resource) bool {
		return func(r *resource) bool { return text(r.body, "qualification", 0, "code", "text") == name }
	}
	share("nurses", 532_721*100/1_023_000.0, 1, "Practitioner", profession("Nurse"))
	share("doctors", 148_185*100/1_023_000.0, 1, "Practitioner", profession("Medical Practitioner"))
	share("Smith", 1, 0.35, "Practitioner", func(r *resource) bool { return text(r.body, "name", 0, "family") == "Smith" })
	share("no position", 3+2.5+12, 3, "Location", func(r *resource) bool { return at(r.body, "position") == nil })
	share("role in New South Wales", 28.9, 2, "PractitionerRole", func(r *resource) bool {
		loc := d.target(text(r.body, "location", 0, "reference"))
		org := d.target(text(loc.body, "managingOrganization", "reference"))
		return text(org.body, "address", 0, "state") == "NSW"
	})
	share("role says another language", 30, 10, "PractitionerRole", func(r *resource) bool {
		return len(list(ext(r.body, "practitioner-role-communication"), "valueCodeableConcept", "coding")) == 2
	})
	share("bulk load", 35, 2, "Practitioner", func(r *resource) bool {
		return strings.HasSuffix(text(r.body, "meta", "lastUpdated"), ":00.000Z")
	})
}

// checkSkew checks the special cases of every directory.
func checkSkew(t *testing.T, d *directory, scale int) {
	most := func(typ string, path ...any) (string, int) {
		n, best := map[string]int{}, ""
		for _, r := range d.byID[typ] {
			reference := text(r.body, append(path, "reference")...)
			if reference == "" {
				continue
			}
			if n[reference]++; n[reference] > n[best] {
				best = reference
			}
		}
		return best, n[best]
	}
	between := func(what string, n, least, greatest int) {
		if n < least || n > greatest {
			t.Errorf("%s: %d, want %d to %d", what, n, least, greatest)
		}
	}
	roles := 0
	for _, r := range d.byID["PractitionerRole"] {
		if org := d.target(text(r.body, "organization", "reference")); text(org.body, "name") == "Greater Sydney Hospital and Health Service" {
			roles++
		}
	}
	between("roles of the largest network", roles, 100*scale, 100*scale)
	_, n := most("PractitionerRole", "organization")
	between("roles of one organisation", n, 100*scale, 200*scale)
	_, n = most("PractitionerRole", "location", 0)
	between("roles at one location", n, 36*scale, 100*scale)
	_, n = most("PractitionerRole", "practitioner")
	between("roles of one practitioner", n, manyRoles-10, manyRoles+30)
	_, n = most("HealthcareService", "endpoint", 0)
	between("services with one endpoint", n, 48*scale, 60*scale)
	sydney, points, virtual, longest, masked, unusual := 0, map[string]bool{}, 0, 0, 0, 0
	for _, r := range d.order {
		switch r.typ {
		case "Location":
			if text(r.body, "address", "postalCode") == "2000" && text(r.body, "address", "city") == "Sydney" && at(r.body, "position") != nil {
				sydney++
				points[string(r.line[bytes.Index(r.line, []byte(`"position"`)):][:60])] = true
			}
			if text(r.body, "type", 0, "coding", 0, "code") == "VI" {
				virtual++
			}
		case "Organization":
			longest = max(longest, len([]rune(text(r.body, "name"))))
			if at(r.body, "_name") != nil {
				masked++
			}
		case "Practitioner":
			if strings.ContainsAny(text(r.body, "name", 0, "family"), "'’-öüñłøšçŁŠÇŻÓÞāêễĐđ ") {
				unusual++
			}
		}
	}
	if sydney < 10*scale || sydney > 30*scale || len(points) > sydneyPoints {
		t.Errorf("Sydney 2000 has %d locations at %d points, want about %d at 300 at most", sydney, len(points), 16*scale)
	}
	if virtual == 0 || longest != longName || masked == 0 || unusual == 0 {
		t.Errorf("virtual %d, longest name %d, masked %d, unusual names %d", virtual, longest, masked, unusual)
	}
}

// TestExampleOne evaluates the queries of the guide's first export example on the records.
func TestExampleOne(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: generates a directory")
	}
	for _, scale := range []Scale{MinScale, 333, 1750} {
		d := readAll(t, Options{Scale: scale, Seed: 99})
		shown := naiveVisible(d)
		inBalmain := func(r *resource) bool {
			return text(r.body, "address", "city") == "Balmain" && text(r.body, "address", "postalCode") == "2041"
		}
		cardiology := func(r *resource) bool { return text(r.body, "type", 0, "coding", 0, "code") == "789718008" }
		placed := func(r *resource) bool {
			return inBalmain(d.target(text(r.body, "location", 0, "reference")))
		}
		found, late := map[string]bool{}, false
		for _, r := range d.order {
			if !shown[r.typ+"/"+r.id] {
				continue
			}
			switch r.typ {
			case "Location":
				near := bytes.Contains(r.line, []byte(`"position":{"longitude":151.1803,"latitude":-33.8607}`))
				found["Location"] = found["Location"] || inBalmain(r) && near
			case "HealthcareService":
				if cardiology(r) && placed(r) {
					found[r.typ] = true
					found["Organization"] = found["Organization"] || shown[text(r.body, "providedBy", "reference")]
					late = late || text(r.body, "communication", 1, "coding", 0, "code") == "pt" && text(r.body, "availableTime", 0, "availableEndTime") > "17:00:00"
				}
			case "PractitionerRole":
				if placed(r) {
					found[r.typ] = true
					found["Practitioner"] = found["Practitioner"] || shown[text(r.body, "practitioner", "reference")]
				}
			}
		}
		if len(found) != 5 || !late {
			t.Errorf("scale %v: Example 1 finds %v; Portuguese after five: %v", scale, found, late)
		}
	}
}

func TestValidCheckDigits(t *testing.T) {
	d := readAll(t, Options{Scale: 200, Seed: 8, ValidCheckDigits: true})
	for _, r := range d.order {
		for _, v := range ident(r.body, sysABN) {
			if !abnOK(v) {
				t.Errorf("ABN %s", v)
			}
		}
		for _, v := range ident(r.body, sysACN) {
			if !acnOK(v) {
				t.Errorf("ACN %s", v)
			}
		}
		for _, v := range ident(r.body, sysMed) {
			if !medicareOK(v) {
				t.Errorf("Medicare provider number %s", v)
			}
		}
	}
}
