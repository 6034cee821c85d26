package top

import (
	_ "example/ground"
	_ "example/middle"
)
