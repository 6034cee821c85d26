package middle

import (
	_ "example/ground"

	_ "example/helper"
	_ "example/top"
)
