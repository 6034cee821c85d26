package helper

import _ "example/top"
