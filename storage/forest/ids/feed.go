package ids

import "ledger/accounting"

// olderOf: a memtable's ids are added if more than one in olderOf was not above all ids before it.
const olderOf = 64

// Feed is the progress of adding a memtable's ids to the filter of all ids. The ids of a request
// are added after it. Their cache lines were read just before and may still be in the cache. The
// zero Feed is that of an empty memtable.
type Feed struct {
	to   *generation // nil: the ids are not added
	rows uint32      // ids of rows that were added
	dead uint32      // dead ids that were added
}

// Fed are the ids of a memtable. Ids come behind the others of their list, and none of them is
// ever rolled back.
type Fed struct {
	Rows  []accounting.U128
	Dead  []accounting.U128
	Older uint32 // the number of both that were not above all ids before them
}

// Feed adds up to idsMax ids of a memtable that its feed has not added yet. all: the filter has all
// ids of the memtable.
func (f *Filter) Feed(feed *Feed, ids Fed, idsMax uint32) (all bool) {
	if feed.to == nil {
		if int(ids.Older) <= (len(ids.Rows)+len(ids.Dead))/olderOf {
			return false
		}
		if feed.to = f.reserve(f.idsFeed); feed.to == nil {
			return false
		}
	}
	rows := min(idsMax, uint32(len(ids.Rows))-feed.rows)
	f.add(feed.to, ids.Rows[feed.rows:feed.rows+rows])
	feed.rows += rows
	dead := min(idsMax-rows, uint32(len(ids.Dead))-feed.dead)
	f.add(feed.to, ids.Dead[feed.dead:feed.dead+dead])
	feed.dead += dead
	return feed.rows == uint32(len(ids.Rows)) && feed.dead == uint32(len(ids.Dead))
}

// FeedEnd adds the remaining ids of a memtable that was flushed, and gives back the room that they
// did not need. all: the filter has all ids of the memtable, so its run is covered.
func (f *Filter) FeedEnd(feed *Feed, ids Fed) (all bool) {
	all = f.Feed(feed, ids, uint32(len(ids.Rows)+len(ids.Dead)))
	if feed.to != nil {
		feed.to.idsKept -= f.idsFeed - uint64(feed.rows+feed.dead)
	}
	return all
}
