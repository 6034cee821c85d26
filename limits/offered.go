//go:build !trialrelease

package limits

// releaseMax is the newest release that this program can run.
const releaseMax = Release
