package failpoint

// Point is a point of the program that tests may arm.
type Point struct {
	Name string
	// Command is the command of muster in which every run passes the point, given
	// work that leads there.
	Command string
	About   string // what has happened there and what has not
}

// All lists every point of the program, in the order in which work passes them. A test
// holds it against the code, and the flow tests kill the program at each one.
var All = []Point{
	{"directory.migrate", "load", "directory.db is there, its tables are not"},
	{"directory.migrated", "load", "directory.db has tables, but does not say what it is"},
	{"jobs.migrate", "load", "directory.db is made, the tables of jobs are not"},
	{"load.batch", "load", "a batch is committed, others are not"},
	{"load.written", "load", "all is committed, warnings about references are not told"},
	{"load.summary", "load", "all is done, the summary is not printed"},
	{"directory.gate.waiting", "load", "another process is inside the gate, this one waits"},
	{"directory.apply.entered", "load", "a batch is inside the gate, nothing written"},
	{"directory.apply.commit", "load", "a batch is written, not committed"},
	{"directory.apply.committed", "load", "a batch is committed, still inside the gate"},
	{"directory.reindex.begin", "reindex", "the index is still the old one, its end is written, not committed"},
	{"directory.reindex.commit", "reindex", "a batch of new entries is written, not committed"},
	{"directory.reindex.committed", "reindex", "a batch of new entries is committed, others are not"},

	{"backup.linked", "backup", "the files of a moment are copied, its databases are not"},
	{"backup.synced", "backup", "all is copied under a temporary name"},
	{"backup.renamed", "backup", "the copy has its name, the folder above is not synced"},

	{"serve.listening", "serve", "the address is taken, the base URL not yet noted"},
	{"export.accepted", "serve", "a job is stored, its client has no answer"},
	{"job.claimed", "serve", "work is claimed, not begun"},
	{"directory.snapshot.drawn", "serve", "T is drawn, the job does not know it"},
	{"directory.snapshot.pinned", "serve", "the job knows T, the snapshot is not open"},
	{"export.selecting", "serve", "the snapshot is open, nothing selected"},
	{"export.selected", "serve", "rows are selected, not stored"},
	{"export.writing", "serve", "selection, T and parts are stored"},
	{"blob.created", "serve", "a file has its temporary name, no bytes"},
	{"blob.write", "serve", "a piece of a file is about to be written"},
	{"export.part.page", "serve", "a page of a part is written"},
	{"export.part.written", "serve", "all bytes of a part are written"},
	{"blob.sync", "serve", "all bytes are written, not synced"},
	{"blob.rename", "serve", "the file is synced under its temporary name"},
	{"blob.renamed", "serve", "the file has its name, the folders are not synced"},
	{"export.part.committed", "serve", "the file of a part is there, no row names it"},
	{"jobs.commit", "serve", "a change of a job is written, not committed"},
	{"jobs.committed", "serve", "a change of a job is committed, who asked for it has no answer"},
	{"export.finished", "serve", "the last part is stored, the job has ended"},
	{"job.settle", "serve", "work has ended, well or not, the claim not yet settled"},
	{"export.cancelled", "serve", "a job is cancelled, its files are there"},
	{"export.sweep.expired", "serve", "the janitor has expired jobs, their files are there"},
	{"export.sweep.listed", "serve", "the janitor knows the files, not yet who names them"},
	{"export.sweep.remove", "serve", "the janitor is about to remove a file"},
	{"blob.removed", "serve", "a file is removed, its folder is not"},
	{"directory.vacuum.commit", "serve", "old versions are dropped, not committed"},
}
