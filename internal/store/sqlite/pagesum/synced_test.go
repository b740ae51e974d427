package pagesum

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

const frameSize = frameHeaderSize + pageSize

// leftByKill are the files of a database whose program was killed, by their endings.
type leftByKill map[string][]byte

// leaveLog writes three commits that wait for the disk, and then one that does not, and returns the
// files and the offset up to which the log was synced.
func leaveLog(t *testing.T) (left leftByKill, synced int) {
	t.Helper()
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)")
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`, fill(3001, 3010), fill(3011, 3020), fill(3021, 3030))
	synced = len(filesOf(t, path)[logEnding])
	execute(t, db, `PRAGMA synchronous = NORMAL`, fill(3031, 3040))
	return filesOf(t, path), synced
}

func filesOf(t *testing.T, path string) leftByKill {
	t.Helper()
	left := leftByKill{}
	for _, ending := range []string{"", logEnding, markEnding} {
		file, err := os.ReadFile(path + ending)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		left[ending] = file
	}
	return left
}

var errLost = errors.New("the log is lost")

// rows opens the files and returns the number of rows from 3001 on.
func (l leftByKill) rows(t *testing.T) (n int, path string, err error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.db")
	for ending, file := range l {
		if err := os.WriteFile(path+ending, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if LostLog(path + logEnding) {
		return 0, path, errLost
	}
	db := openTest(t, path, "")
	err = db.QueryRow(`SELECT count(*) FROM t WHERE a > 3000`).Scan(&n)
	return n, path, errors.Join(err, db.Close())
}

// with returns the files with another log.
func (l leftByKill) with(log []byte) leftByKill {
	changed := maps.Clone(l)
	changed[logEnding] = log
	return changed
}

// TestDamagedLog flips a bit in each part of a log. If a commit in it waited for the disk, the
// database cannot be opened, and the frame is named. Nothing is written then.
func TestDamagedLog(t *testing.T) {
	left, synced := leaveLog(t)
	if n, _, err := left.rows(t); n != 40 || err != nil {
		t.Fatal("undamaged:", n, err)
	}
	log := left[logEnding]
	var places []int
	for at := 0; at < logHeaderSize; at++ {
		places = append(places, at)
	}
	for frame := logHeaderSize; frame < len(log); frame += frameSize {
		for _, at := range []int{3, 7, 8, 23, frameHeaderSize + 1000} {
			places = append(places, frame+at)
		}
	}
	for _, at := range places {
		damaged := bytes.Clone(log)
		damaged[at] ^= 1 << (at % 8)
		n, path, err := left.with(damaged).rows(t)
		if at >= synced {
			if n != 30 || err != nil {
				t.Errorf("byte %d behind the last sync: %d rows, %v", at, n, err)
			}
			continue
		}
		want := Page{File: "a.db-wal", Log: true}
		if at >= logHeaderSize {
			want.Number = uint32((at-logHeaderSize)/frameSize) + 1
		}
		if got := Damaged(filepath.Dir(path)); !damaged8202(err) || len(got) != 1 || got[0] != want {
			t.Fatalf("byte %d: %d rows, %v, found %v, want %v", at, n, err, got, want)
		}
		if after := filesOf(t, path); !bytes.Equal(after[""], left[""]) || !bytes.Equal(after[logEnding], damaged) {
			t.Errorf("byte %d: the files were written", at)
		}
	}
	for _, cut := range []int{logHeaderSize + 1, synced - 1, synced - frameSize} {
		if _, _, err := left.with(log[:cut]).rows(t); !damaged8202(err) {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
	random := make([]byte, len(log))
	_, _ = rand.Read(random)
	for name, content := range map[string][]byte{
		"zeros":                        make([]byte, len(log)),
		"zeros in place of the header": append(make([]byte, pageSize), log[pageSize:]...),
		"random bytes":                 random,
		"a few random bytes":           random[:logHeaderSize+1],
	} {
		_, path, err := left.with(content).rows(t)
		if got := Damaged(filepath.Dir(path)); !damaged8202(err) || len(got) != 1 || got[0] != (Page{File: "a.db-wal", Log: true}) {
			t.Errorf("%s: %v, found %v", name, err, got)
		}
	}
}

// TestLostLog deletes a log, or cuts it so that SQLite takes it for empty. Without its mark, as of an
// older program, this is not noticed.
func TestLostLog(t *testing.T) {
	left, _ := leaveLog(t)
	cuts := map[string]leftByKill{"deleted": maps.Clone(left)}
	delete(cuts["deleted"], logEnding)
	for _, size := range []int{0, 1, logHeaderSize - 1, logHeaderSize} {
		cuts[fmt.Sprintf("cut to %d bytes", size)] = left.with(left[logEnding][:size])
	}
	for name, cut := range cuts {
		if _, path, err := cut.rows(t); !errors.Is(err, errLost) {
			t.Errorf("%s: %v", name, err)
		} else if after := filesOf(t, path); len(after) != len(cut) || !bytes.Equal(after[""], cut[""]) {
			t.Errorf("%s: the files were written", name)
		}
		delete(cut, markEnding)
		if n, _, err := cut.rows(t); n != 0 || err != nil {
			t.Errorf("%s, without a mark: %d rows, %v", name, n, err)
		}
	}
	Verify(false) // another program has moved the log into the database
	defer Verify(true)
	delete(left, logEnding)
	if _, _, err := left.rows(t); err != nil {
		t.Errorf("with --trust-pages: %v", err)
	}
}

// TestKilledWhileLogEnds leaves what a kill leaves while a log that was moved into the database is
// truncated or deleted: the mark is set back first.
func TestKilledWhileLogEnds(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)")
	execute(t, db, fill(3001, 3020), `PRAGMA wal_checkpoint(PASSIVE)`)
	if err := setBackMark(path+logEnding, 0); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, path)
	truncated, deleted := before.with(nil), maps.Clone(before)
	delete(deleted, logEnding)
	for name, left := range map[string]leftByKill{"before": before, "truncated": truncated, "deleted": deleted} {
		if n, _, err := left.rows(t); n != 20 || err != nil {
			t.Errorf("%s: %d rows, %v", name, n, err)
		}
	}
	execute(t, db, fill(3021, 3021))
	if m, ok := readMark(path + logEnding); !ok || m.end <= logHeaderSize {
		t.Errorf("the mark of the next commit is %+v, %t", m, ok)
	}
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if m, ok := readMark(path + logEnding); !ok || m.end != 0 {
		t.Errorf("the mark of a truncated log is %+v, %t", m, ok)
	}
}

// TestOtherMarks checks what can have the name of a mark: it is neither followed nor read whole.
func TestOtherMarks(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)")
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, put := range []func(mark string) error{
		func(mark string) error { return os.Symlink(precious, mark) },
		func(mark string) error { return os.Mkdir(mark, 0o700) },
		func(mark string) error { return os.WriteFile(mark, nil, 0o600) },
		func(mark string) error { return errors.Join(os.WriteFile(mark, nil, 0o600), os.Truncate(mark, 1<<40)) },
	} {
		_ = os.Remove(markPath(path + logEnding))
		if err := put(markPath(path + logEnding)); err != nil {
			t.Fatal(err)
		}
		if _, ok := readMark(path + logEnding); ok {
			t.Error("mark", n, "is read")
		}
		execute(t, db, fill(3001+n, 3001+n))
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestTornLog cuts a log at any place behind the last sync and writes anything behind that, as a
// power cut may. The database has what was synced. The mark of the log may be an older one, or
// missing.
func TestTornLog(t *testing.T) {
	left, synced := leaveLog(t)
	rapid.Check(t, func(r *rapid.T) {
		from := synced
		torn := maps.Clone(left)
		if rapid.Bool().Draw(r, "without mark") {
			delete(torn, markEnding)
			from = 0
		}
		log := torn[logEnding]
		cut := rapid.IntRange(from, len(log)).Draw(r, "cut")
		tail := bytes.Clone(log[cut:])
		for range rapid.IntRange(0, 3).Draw(r, "changes") { // sectors in any order
			if at := rapid.IntRange(0, max(0, len(tail)-1)).Draw(r, "at"); at < len(tail) {
				clear(tail[at:min(len(tail), at+512)])
			}
		}
		tail = tail[:rapid.IntRange(0, len(tail)).Draw(r, "length")]
		n, _, err := torn.with(append(bytes.Clone(log[:cut]), tail...)).rows(t)
		if err != nil || n < 30 && from > 0 {
			r.Fatalf("cut at %d of %d, synced %d: %d rows, %v", cut, len(log), synced, n, err)
		}
	})
}

// TestRestartedLog checks that the mark of an earlier log is ignored once the log has begun again: a
// power cut may keep it.
func TestRestartedLog(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)")
	execute(t, db, fill(3001, 3020))
	old := filesOf(t, path)[markEnding]
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if n, _, err := filesOf(t, path).rows(t); n != 20 || err != nil {
		t.Errorf("truncated: %d rows, %v", n, err)
	}
	execute(t, db, fill(3021, 3021))
	left := filesOf(t, path)
	left[markEnding] = old
	if n, _, err := left.rows(t); n != 21 || err != nil {
		t.Errorf("restarted: %d rows, %v", n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left := filesOf(t, path); len(left) != 1 {
		t.Errorf("%d files remain after the last connection has closed", len(left))
	}
}

// TestLimitedMark checks a transaction that was synced and could not be completed, since the disk
// was full: the next one is written over it.
func TestLimitedMark(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(NORMAL)")
	execute(t, db, fill(3001, 3020))
	log := path + logEnding
	m := syncedMark{salts: [8]byte(filesOf(t, path)[logEnding][16:]), page: pageSize, end: 1_000_000_000}
	if err := m.write(log, false); err != nil {
		t.Fatal(err)
	}
	if _, damaged := CheckLog(log); !damaged {
		t.Fatal("the log is not shorter than its mark")
	}
	execute(t, db, fill(3021, 3030))
	if n, _, err := filesOf(t, path).rows(t); n != 30 || err != nil {
		t.Error(n, err)
	}
}

// TestFailedCheckpoint damages the log of a database that is in use. SQLite tries to move it into
// the database after each commit and when it is closed, and says nothing.
func TestFailedCheckpoint(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(1)")
	dir := filepath.Dir(path)
	flip := func() {
		log := filesOf(t, path)[logEnding]
		log[logHeaderSize+frameHeaderSize+200] ^= 1
		overwrite(t, path+logEnding, log)
	}
	reader := openTest(t, path, "", `BEGIN`)
	var n int
	if err := reader.QueryRow(`SELECT count(*) FROM t`).Scan(&n); err != nil { // keeps the log
		t.Fatal(err)
	}
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`, `UPDATE t SET b = 'x' WHERE a = 1`)
	if got := Failures(dir); len(got) != 0 {
		t.Fatal("before:", got)
	}
	flip()
	execute(t, reader, `ROLLBACK`)
	for range 2 {
		execute(t, db, `UPDATE t SET b = 'y' WHERE a = 2000`)
		if got := Failures(dir); len(got) != 1 || !got[0].Damage() || got[0].File != "a.db" {
			t.Fatal("after a commit:", got)
		}
	}
	flip() // back
	execute(t, db, `UPDATE t SET b = 'z' WHERE a = 2000`)
	if got := Failures(dir); len(got) != 0 {
		t.Error("undamaged:", got)
	}
	execute(t, db, `PRAGMA wal_autocheckpoint = 0`, `UPDATE t SET b = 'x' WHERE a = 1`)
	flip()
	if err := errors.Join(reader.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if got := Failures(dir); len(got) != 1 || !got[0].Damage() {
		t.Error("after the end:", got)
	}
	if err := openTest(t, path, "").QueryRow(`SELECT 1 FROM t`).Scan(new(sql.RawBytes)); !damaged8202(err) {
		t.Error("opened again:", err)
	}
}
