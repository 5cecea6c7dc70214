// DTrace 2 for Linux.
'use strict'
require('./suite')('linux')
