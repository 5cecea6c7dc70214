// illumos and FreeBSD.
'use strict'
require('./suite')('classic')
