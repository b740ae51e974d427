package store

import (
	"context"

	"muster/internal/fhir"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// Membership says what an export tells of the membership of its filters: which resources have left
// and entered them since the export that its client refers to (docs/decisions/0028-membership.md).
type Membership string

// The values of Membership.
const (
	MembershipUntracked Membership = ""         // the client has not asked for it
	MembershipKept      Membership = "kept"     // it says what has left, and what it holds is kept for the next one
	MembershipNotKept   Membership = "not-kept" // it says what has left, but what it holds is too large to be kept
	MembershipUnknown   Membership = "unknown"  // the server does not know what the client holds
)

// MembersKey names what an export held: that of a client, for filters, as of its transaction time.
type MembersKey struct {
	Owner   string // [Job].Owner
	Client  string // name of [Job].Client, which tells clients without authentication apart
	Filters string // digest of the filters: equal for requests that mean the same
	Time    fhir.Instant
}

// LeastMembers is the size that each kept set of members counts with at least, in bytes. So their
// number is bounded too.
const LeastMembers = 4096

// MembersShare is the share of the bytes for all sets that those of one client may take: one in so
// many.
const MembersShare = 4

// MembersStore keeps what exports held. A set is the row keys of all types together.
type MembersStore interface {
	// StoreMembers records what a claimed selection tells of its membership: [MembershipKept], or
	// [MembershipUnknown] if members is nil. In the former case it keeps the members under the
	// digest of the filters, for the owner and the client of the job, as of its transaction time. They
	// are found when the job is Complete, and forgotten if it does not become that. The sets
	// that were used least recently are forgotten, those of this client first, until all take
	// at most limit bytes and those of one client a [MembersShare] of it. If this set alone takes
	// more, it is not kept, and [MembershipNotKept] is recorded. StoreMembers returns
	// [ErrCancelled] or [ErrLeaseLost] when the claim is not current any more.
	StoreMembers(ctx context.Context, t *Task, filters string, members *roaring64.Bitmap, limit int64, now fhir.Instant) error
	// Members returns what a Complete export held, and records that it was used at now. It returns
	// [ErrNotFound] if it is not kept, and a [damage.Error] if it was changed.
	Members(ctx context.Context, key MembersKey, now fhir.Instant) (*roaring64.Bitmap, error)
	// MembersKept returns how many sets are kept, and how many bytes they count with.
	MembersKept(ctx context.Context) (sets, bytes int64, err error)
}
