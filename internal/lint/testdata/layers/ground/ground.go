package ground

import _ "fmt"
