// Package job runs the work of jobs: it claims a piece of work from the job
// store, lets a function do it, and keeps the claim alive meanwhile. What the
// work is, it does not know.
//
// # The flow
//
// Each worker asks the store for work ([store.Jobs.Claim]). While the work runs,
// a heartbeat renews the lease every 200 ms and brings the progress along. The
// worker sleeps when there is nothing to do, until [Engine.Wake] or the next
// tick.
//
// # What ends a piece of work
//
//   - It returns nil: it has told the store itself what came of it.
//   - The job was cancelled, or another worker holds the claim now: the heartbeat
//     hears it from the store and cancels the context of the work with
//     [store.ErrCancelled] or [store.ErrLeaseLost] as its cause. The work must
//     leave nothing behind; the store accepts nothing from it any more.
//   - It returns an error: the claim is given back and tried again a little later,
//     three times in all; then the job fails. A [Permanent] error fails it at once.
//   - The engine stops: the claim is given back at once and does not count.
//   - The process dies: the lease ends by itself and another claim follows. Claims
//     count, so a job that kills the process fails in the end.
//   - Nothing advances for Config.StallAfter: the watchdog fails the job, however
//     alive its worker looks (D7).
//
// Jobs therefore end: with their last part, by their client, or with a reason.
package job
