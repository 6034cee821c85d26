package helper

import "time"

func Wait() { time.Sleep(1) }
