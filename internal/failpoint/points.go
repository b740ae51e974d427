package failpoint

// Point is a failpoint of the program.
type Point struct {
	Name string
	// Command is the command of muster in which every run passes the failpoint, given
	// suitable work.
	Command string
	About   string // the state of the work at the failpoint
}

// All lists every failpoint of the program, in the order in which work passes them. A test
// compares it with the code, and the flow tests kill the program at each one.
var All = []Point{
	{"directory.migrate", "load", "directory.db exists, its tables do not"},
	{"directory.migrated", "load", "directory.db has tables, but is not marked as a directory"},
	{"jobs.migrate", "load", "directory.db is complete, the tables of jobs do not exist"},
	{"load.batch", "load", "one batch is committed, others are not"},
	{"load.written", "load", "all batches are committed, dangling references are not reported"},
	{"load.summary", "load", "the load is complete, the summary is not printed"},
	{"directory.gate.waiting", "load", "another process holds the write gate, this one waits for it"},
	{"directory.apply.entered", "load", "a batch holds the write gate, nothing is written"},
	{"directory.apply.commit", "load", "a batch is written, not committed"},
	{"directory.apply.committed", "load", "a batch is committed and still holds the write gate"},
	{"directory.cascade.slice", "load", "resources of a cascade are about to be written"},
	{"directory.cascade.commit", "load", "a slice of a cascade is written, not committed"},
	{"directory.cascade.committed", "load", "a slice of a cascade is committed, others are not"},
	{"directory.reindex.begin", "reindex", "the index is still the old one, its removal is written, not committed"},
	{"directory.reindex.commit", "reindex", "a batch of new entries is written, not committed"},
	{"directory.reindex.committed", "reindex", "a batch of new entries is committed, others are not"},

	{"backup.linked", "backup", "the export files are copied, the databases are not"},
	{"backup.synced", "backup", "everything is copied under a temporary name"},
	{"backup.renamed", "backup", "the copy has its final name, the parent folder is not synced"},

	{"serve.listening", "serve", "the address is bound, the base URL is not recorded"},
	{"export.accepted", "serve", "a job is stored, its client has no response"},
	{"job.claimed", "serve", "work is claimed, not started"},
	{"directory.snapshot.drawn", "serve", "T is chosen, the job does not have it"},
	{"directory.snapshot.pinned", "serve", "the job has T, the snapshot is not open"},
	{"export.selecting", "serve", "the snapshot is open, no row is selected"},
	{"export.selected", "serve", "rows are selected, not stored"},
	{"export.writing", "serve", "selection, T and parts are stored"},
	{"blob.created", "serve", "a file has its temporary name and is empty"},
	{"blob.write", "serve", "the next bytes of a file are about to be written"},
	{"export.part.page", "serve", "a page of a part is written"},
	{"export.part.written", "serve", "all bytes of a part are written"},
	{"blob.sync", "serve", "all bytes are written, not synced"},
	{"blob.rename", "serve", "the file is synced under its temporary name"},
	{"blob.renamed", "serve", "the file has its final name, the folders are not synced"},
	{"export.part.committed", "serve", "the file of a part exists, no row refers to it"},
	{"jobs.commit", "serve", "a change of a job is written, not committed"},
	{"jobs.committed", "serve", "a change of a job is committed, the client has no response"},
	{"export.finished", "serve", "the last part is stored, the job has ended"},
	{"job.settle", "serve", "work has succeeded or failed, its claim is not released"},
	{"export.cancelled", "serve", "a job is cancelled, its files exist"},
	{"export.deleted", "serve", "the files of a cancelled job are removed"},
	{"export.sweep.expired", "serve", "the janitor has expired jobs, their files exist"},
	{"export.sweep.listed", "serve", "the janitor has listed the files, not the jobs that refer to them"},
	{"export.sweep.remove", "serve", "the janitor is about to delete a file"},
	{"blob.removed", "serve", "a file is deleted, its folder is not"},
	{"directory.vacuum.commit", "serve", "the deletion of old versions is written, not committed"},
	{"directory.sweep.commit", "serve", "old removals are forgotten, not committed"},
}
