package synth

// enc encodes JSON by appending to a byte slice. The caller writes the members in the order
// of the FHIR specification; enc adds commas and escapes.
type enc struct{ b []byte }

const hexDigits = "0123456789abcdef"

// key starts a member. With an empty name, it starts an item of an array.
func (e *enc) key(name string) {
	if last := e.b[len(e.b)-1]; last != '{' && last != '[' {
		e.b = append(e.b, ',')
	}
	if name != "" {
		e.b = append(e.b, '"')
		e.b = append(e.b, name...)
		e.b = append(e.b, '"', ':')
	}
}

func (e *enc) obj(name string) { e.key(name); e.b = append(e.b, '{') }
func (e *enc) arr(name string) { e.key(name); e.b = append(e.b, '[') }
func (e *enc) end()            { e.b = append(e.b, '}') }
func (e *enc) endArr()         { e.b = append(e.b, ']') }

// str writes a string member that is the concatenation of parts.
func (e *enc) str(name string, parts ...string) {
	e.key(name)
	e.b = append(e.b, '"')
	for _, part := range parts {
		e.escape(part)
	}
	e.b = append(e.b, '"')
}

// raw writes a string member that needs no escapes.
func (e *enc) raw(name string, value []byte) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = append(e.b, value...)
	e.b = append(e.b, '"')
}

func (e *enc) bool(name string, v bool) {
	e.key(name)
	if v {
		e.b = append(e.b, "true"...)
	} else {
		e.b = append(e.b, "false"...)
	}
}

func (e *enc) escape(s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.b = append(e.b, '\\', c)
		case c == '\n':
			e.b = append(e.b, '\\', 'n')
		case c < ' ':
			e.b = append(e.b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			e.b = append(e.b, c)
		}
	}
}

// degrees writes a coordinate given in units of 1e-5 degrees.
func (e *enc) degrees(name string, v int) {
	e.key(name)
	if v < 0 {
		e.b = append(e.b, '-')
		v = -v
	}
	whole := v / 100_000
	width := 1
	for limit := 10; whole >= limit; limit *= 10 {
		width++
	}
	e.b = appendDigits(e.b, whole, width)
	e.b = append(e.b, '.')
	e.b = appendDigits(e.b, v%100_000, 5)
	for e.b[len(e.b)-1] == '0' && e.b[len(e.b)-2] != '.' {
		e.b = e.b[:len(e.b)-1]
	}
}

// coding writes a Coding. It omits an empty display.
func (e *enc) coding(name, system string, c code) {
	e.obj(name)
	e.str("system", system)
	e.str("code", c.code)
	if c.display != "" {
		e.str("display", c.display)
	}
	e.end()
}

// concept writes a CodeableConcept of one coding.
func (e *enc) concept(name, system string, c code) {
	e.obj(name)
	e.arr("coding")
	e.coding("", system, c)
	e.endArr()
	e.end()
}

// extension opens an extension with its url. The caller writes the value and closes it.
func (e *enc) extension(url string) {
	e.obj("")
	e.str("url", url)
}

// identifier writes an Identifier with a coded type.
func (e *enc) identifier(typeSystem, typeCode, system string, value []byte) {
	e.obj("")
	e.concept("type", typeSystem, code{code: typeCode})
	e.str("system", system)
	e.raw("value", value)
	e.end()
}
