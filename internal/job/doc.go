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
//   - There is no progress for Config.StallAfter: the watchdog fails the job, even if its
//     worker still renews the lease (D7).
//
// So every job ends: with its last part, by its client, or with a reason.
package job
