// Package backup copies a directory while it is served. The copy holds the resources,
// jobs and files of one snapshot, so it is complete, and a server on it continues where
// the directory was.
//
// # Steps
//
//   - The driver enters the write gate briefly, opens a snapshot of resources and jobs, and
//     leaves the gate ([store.Freezer]). Inside the gate no batch is half written, no
//     transaction time is drawn and no old version is deleted. So every job of the snapshot
//     finds in it the versions that it needs.
//   - Run links the files that the parts of jobs name, or copies them where it cannot link.
//     Files never change, but they are deleted when their job is cancelled or expires. In
//     that case Run closes the snapshot and opens a new one, which does not contain the job
//     any more. It keeps the files that it has already copied.
//   - The driver writes the snapshot into the copy ([store.Frozen]). Writers continue
//     meanwhile; only the log of the database grows until the step is done.
//   - The copy becomes the owner of its folder of files. The copy of a data directory is a
//     different owner than the directory, so neither is served on the folder of the other.
//   - Run syncs everything to disk and renames the copy to its final name. A copy with its
//     final name is complete.
//
// # Failures
//
// A backup that fails or is interrupted removes what it wrote. If the process crashes, a
// folder with ".partial-" in its name remains, which can be removed by hand. A file that
// is lost in the directory itself cannot be copied: the copy is then as damaged as the
// directory, and [Summary.Lost] lists the file.
package backup
