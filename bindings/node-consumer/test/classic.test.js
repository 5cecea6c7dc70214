// illumos, FreeBSD, macOS.
'use strict'
require('./suite')('classic')
