'use strict'
const fs = require('fs')
const path = require('path')
const trial = require('./trial')

let binding, reason
try {
  binding = require('./build/consumer.node')
  reason = binding.reason
} catch (error) {
  reason = error.code === 'MODULE_NOT_FOUND' ? whyNotBuilt() : error.message
}

function whyNotBuilt () {
  try {
    return fs.readFileSync(path.join(__dirname, 'build', 'reason.txt'), 'utf8')
  } catch {
    return `not built: its install script has not run; this runs it: node "${path.join(__dirname, 'scripts', 'build.js')}"`
  }
}

let tried
function tryOnce () {
  tried ??= trial().catch((error) => {
    tried = undefined
    throw error
  })
  return tried
}

const Consumer = require('./consumer')(binding, reason, binding?.untried ? tryOnce : undefined)
const createConsumer = () => new Consumer()
const available = reason === undefined

module.exports = { Consumer, createConsumer, available, reason }
