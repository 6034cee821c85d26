package library

import "time"

func pause() { time.Sleep(1) }
