package bench

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// sleepCoarse is the largest delay of a sleep of the Go runtime. The last part of a wait therefore
// uses the kernel's finer timer.
const sleepCoarse = 2 * time.Millisecond

// sleepUntil waits for a moment, to within some 50 µs. It returns at once if the moment has passed.
func sleepUntil(ctx context.Context, moment time.Time) error {
	if rest := time.Until(moment); rest > sleepCoarse {
		timer := time.NewTimer(rest - sleepCoarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for {
		rest := time.Until(moment)
		if err := ctx.Err(); err != nil || rest <= 0 {
			return err
		}
		nap := unix.NsecToTimespec(int64(rest))
		_ = unix.Nanosleep(&nap, nil) // a signal ends it early; then the loop continues
	}
}
