package middle

import (
	_ "example/helper"
	_ "example/top"
)
