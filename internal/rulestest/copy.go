package rulestest

// Copy is the copy of a client that follows deltas of all types. It holds the lines as they were
// delivered. The zero value is empty.
type Copy struct {
	lines     map[Name]string
	documents map[Name]Object
}

// Put stores a line of a file.
func (c *Copy) Put(line []byte) Name {
	if c.lines == nil {
		c.lines, c.documents = map[Name]string{}, map[Name]Object{}
	}
	document := parse(line)
	n := NameOf(document)
	c.lines[n], c.documents[n] = string(line), document
	return n
}

// Delete removes a resource that the directory has removed.
func (c *Copy) Delete(n Name) {
	delete(c.lines, n)
	delete(c.documents, n)
}

// Visible returns the lines of the resources that the client may show, by what the lines
// themselves say. They are those of a full export.
func (c *Copy) Visible() map[Name]string {
	shown := map[Name]string{}
	for n, line := range c.lines {
		if c.shows(n) {
			shown[n] = line
		}
	}
	return shown
}

func (c *Copy) shows(n Name) bool {
	document, ok := c.documents[n]
	if !ok || StateOf(document).Hidden() {
		return false
	}
	for _, about := range targets(document) {
		if !c.shows(about) {
			return false
		}
	}
	return true
}
