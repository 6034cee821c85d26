package limits

// A release is what the replicas of a cluster agree on: by its rules ops are executed, and in its
// way checkpoints are written. A program offers a range of releases, and runs one: that of the
// checkpoint from which it starts. docs/design/cluster.md, "Upgrade", says how a cluster passes
// from one to the next, and accounting/rules.go is where the rules of two releases may differ.

// Release is the newest release that there is.
const Release = 1

// releaseMin is the oldest release that this program can run.
const releaseMin = 1

// ReleaseTrial is a release of tests: its rules differ from those of all others. Only programs that
// are built with the tag trialrelease offer it, and simulated limits.
const ReleaseTrial = Release + 1

// RulesFirst are the rules of the first release, RulesTrial those of the release of tests. The
// number is so high that no release will ever have it.
const RulesFirst, RulesTrial = 1, 0xffff

// RulesOf is the version of the accounting rules of a release.
func RulesOf(release uint32) uint32 {
	if release == ReleaseTrial {
		return RulesTrial
	}
	return RulesFirst
}

// Offers tells whether this program can run a release.
func (l *Limits) Offers(release uint32) bool {
	return release >= l.ReleaseMin && release <= l.ReleaseMax
}

// OffersRules tells whether a release that this program can run has these rules.
func (l *Limits) OffersRules(rules uint32) bool {
	for release := l.ReleaseMin; release <= l.ReleaseMax; release++ {
		if RulesOf(release) == rules {
			return true
		}
	}
	return false
}
