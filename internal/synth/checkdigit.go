package synth

// appendDigits appends v in decimal, padded with zeros to width digits.
func appendDigits(b []byte, v, width int) []byte {
	start := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; i >= start; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// luhnDigit returns the Luhn check digit of the HI Service for digits: counted from the
// right, starting with the check digit, every second digit is doubled.
func luhnDigit(digits []byte) byte {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}

// abn returns the Australian Business Number of nine digits n: two leading check digits
// make the weighted sum 0 modulo 89. If valid is false, they are one too high.
func abn(n int, valid bool) []byte {
	b := appendDigits(make([]byte, 2, 11), n, 9)
	sum := 0
	for i, weight := range [9]int{3, 5, 7, 9, 11, 13, 15, 17, 19} {
		sum += int(b[2+i]-'0') * weight
	}
	prefix := 10 + (89-sum%89)%89
	if !valid {
		prefix = 10 + (prefix-10+1)%89
	}
	b[0], b[1] = byte('0'+prefix/10), byte('0'+prefix%10)
	return b
}

// acn returns the Australian Company Number of eight digits n. If valid is false, the check
// digit is one too high.
func acn(n int, valid bool) []byte {
	b := appendDigits(make([]byte, 0, 9), n, 8)
	sum := 0
	for i := range b {
		sum += int(b[i]-'0') * (8 - i)
	}
	check := (10 - sum%10) % 10
	if !valid {
		check = (check + 1) % 10
	}
	return append(b, byte('0'+check))
}

// Characters of Medicare provider numbers: the value of a practice location character is
// its index in the first list, and the check character comes from the second.
const (
	medicareLocations = "0123456789ABCDEFGHJKLMNPQRTUVWXY"
	medicareChecks    = "YXWTLKJHFBA"
)

// medicareNumber returns a Medicare provider number: a six-digit stem, a practice location
// character and a check character. If valid is false, the check character is the next one
// of its list.
func medicareNumber(stem, location int, valid bool) []byte {
	b := appendDigits(make([]byte, 0, 8), stem, 6)
	sum := location * 6
	for i, weight := range [6]int{3, 5, 8, 4, 2, 1} {
		sum += int(b[i]-'0') * weight
	}
	if !valid {
		sum++
	}
	return append(b, medicareLocations[location], medicareChecks[sum%11])
}
