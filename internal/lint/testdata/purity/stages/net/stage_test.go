package net

import "time"

var started = time.Now()
