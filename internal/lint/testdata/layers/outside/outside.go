package outside

import _ "example/top"
