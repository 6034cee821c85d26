package net

import (
	_ "net"

	_ "example/ring"
)
