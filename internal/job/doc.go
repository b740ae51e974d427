// Package job runs the tasks of jobs: it claims a task from the job store, calls a function
// to do it, and renews the claim meanwhile. It does not know what the tasks are.
//
// # Flow
//
// Each worker claims tasks from the store ([store.JobQueue]). While the function works, a
// heartbeat renews the lease every 200 ms and stores the progress. A worker without a task
// sleeps until [Engine.Wake] or the next tick.
//
// # How a task ends
//
//   - The function returns nil: it has stored its result itself.
//   - The job was cancelled, or another worker has the claim: the heartbeat receives
//     [store.ErrCancelled] or [store.ErrLeaseLost] from the store and cancels the context of
//     the function with it as the cause. The function must leave nothing behind; the store
//     rejects its results.
//   - The function returns an error: the claim is released and the task retried a little
//     later, up to three attempts in all; then the job fails. A [Permanent] error fails the
//     job at once.
//   - The process or the machine has too many files open: the claim is released, does not count as
//     an attempt, and the task is retried a little later, until the watchdog fails the job.
//   - The engine stops: the claim is released at once and does not count as an attempt.
//   - The process crashes: the lease ends and the task is claimed again. Claims count as
//     attempts, so a job that crashes the process fails in the end.
//   - A selection was interrupted at the end of its slice ([SliceEnd]): the claim ends and
//     does not count as an attempt. The next claim has the next slice, four times as long.
//     How long a selection has run is stored with its job, so a restart continues with it.
//   - A claimed task makes no progress for Config.StallAfter: the watchdog fails the job,
//     even if its worker still renews the lease (D7).
//
// # Whose turn it is
//
// The client for which workers have worked least goes first ([store.JobQueue].Claim). At
// most one worker fewer than there are runs slices of 4 s or more, so parts and short slices
// never wait for a long one, unless there is one worker only. One more worker does quick
// tasks only: slices shorter than a second, and parts of at most 8 MiB.
//
// A job that waits for a worker cannot wait forever, so the watchdog ignores it. Each task
// of the others ends: a slice with its length, a part with its last line or as stalled, an
// error with the last attempt. After ten minutes without work for it, a client goes before
// each that had any, and its job before all younger ones.
//
// So every job ends: with its last part, by its client, or with a reason.
package job
