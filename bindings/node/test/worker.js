// A worker of a cluster that fires its number.
'use strict'
const p = require('..').createDTraceProvider('nodecluster')
const probe = p.addProbe('start', 'int')
p.enable()
setInterval(() => probe.fire(() => [process.env.N]), 200)
process.send('up')
