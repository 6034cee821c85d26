//go:build trialrelease

package limits

// releaseMax is the newest release that this program can run: that of tests. A program with this
// tag is for the tests of upgrades only. It says so at each start (cmd/ledger), and the tool that
// makes releases refuses it.
const releaseMax = ReleaseTrial
