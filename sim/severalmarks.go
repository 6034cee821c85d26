package sim

// Marks counts how often a cluster of several replicas reached the situations for which its
// simulation exists.
type Marks struct {
	strikes [strikesCount]int
	causes  [16]int // of wishes to leave a view

	crashes, primaryCrashes, allCut, held, stalled int
	wishes, ballots, nacks, uncertainVotes         int
	faultyStarts, uncertainStarts                  int
	brinks, repairsWritten, wrapped                int
	preparesHarmed, slotsHarmed                    int
}
