// A program with a probe: fires what it is told to, and counts what it has fired.
'use strict'
const provider = require('../../../node').createDTraceProvider('shop')
const order = provider.addProbe('order', 'int', 'char *')
provider.enable()
const fired = { order: 0 }
process.on('message', (orders) => {
  for (const [amount, what] of orders) {
    if (order.fire(() => [amount, what])) fired.order++
  }
  process.send(fired)
})
process.send(provider.reason ?? 'ready')
