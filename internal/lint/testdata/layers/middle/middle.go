package middle

import (
	_ "example/ground"

	_ "example/top"
	_ "example/helper"
)
