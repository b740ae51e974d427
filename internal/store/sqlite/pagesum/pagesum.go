package pagesum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"muster/internal/damage"
	"muster/internal/regularfile"
)

const (
	pageSize   = 4096 // of new databases
	minPage    = 512
	headerSize = 100 // of a database, in its first page
	magic      = "SQLite format 3\x00"
	reservedAt = 20 // in the header: the number of reserved bytes of each page
)

// EmptyPage returns the file of a database without tables, whose pages will have checksums.
// See "The Database Header" in the description of the file format of SQLite.
func EmptyPage() []byte {
	p := make([]byte, pageSize)
	copy(p, magic)
	binary.BigEndian.PutUint16(p[16:], pageSize)
	p[18], p[19] = 1, 1 // a rollback journal, until the first connection asks for WAL
	p[reservedAt] = damage.Size
	p[21], p[22], p[23] = 64, 32, 32      // fixed
	binary.BigEndian.PutUint32(p[28:], 1) // pages
	p[headerSize] = 13                    // a leaf of a table, without cells
	binary.BigEndian.PutUint16(p[headerSize+5:], pageSize-damage.Size)
	seal(1, p)
	return p
}

// hasSums reports whether the pages of a database have checksums, by its header.
func hasSums(header []byte) bool {
	return string(header[:len(magic)]) == magic && header[reservedAt] == damage.Size
}

// CheckFile yields the numbers of the damaged pages in the file of a database. This process must not
// have the database open: closing the file would end the locks of SQLite. Another process may write
// to it, so a page that looks damaged is read twice.
func CheckFile(path string, yield func(number uint32) error) error {
	f, err := regularfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, pageSize)
	sums := false
	for number := uint32(1); ; number++ {
		damaged := false
		for look := 0; look < 2 && (look == 0 || damaged); look++ {
			n, err := f.ReadAt(page, int64(number-1)*pageSize)
			if n == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			clear(page[n:]) // as SQLite takes what is missing
			if number == 1 {
				sums = hasSums(page)
			}
			damaged = sums && !right(number, page) || number == 1 && lostSums(page)
		}
		if damaged {
			if err := yield(number); err != nil {
				return err
			}
			sums = true
		}
	}
}

// lostSums reports whether the header of a database does not say that its pages have checksums,
// although the first page matches its own: this part of the header is damaged.
func lostSums(page []byte) bool {
	if hasSums(page) {
		return false
	}
	whole := bytes.Clone(page)
	copy(whole, magic)
	whole[reservedAt] = damage.Size
	return damage.Decode(page[len(page)-damage.Size:]) == sum(1, whole)
}

// seal writes the checksum into a page.
func seal(number uint32, page []byte) {
	sum(number, page).Append(page[:len(page)-damage.Size])
}

// right reports whether a page matches its checksum, or was never written.
func right(number uint32, page []byte) bool {
	stored := damage.Decode(page[len(page)-damage.Size:])
	return stored == sum(number, page) || stored == 0 && zero(page)
}

func sum(number uint32, page []byte) damage.Sum {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], number)
	return damage.Of(n[:]).Add(page[:len(page)-damage.Size])
}

func zero(page []byte) bool {
	for _, b := range page {
		if b != 0 {
			return false
		}
	}
	return true
}
