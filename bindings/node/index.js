'use strict'
const fs = require('fs')
const path = require('path')

let binding, reason
try {
  binding = require('./build/usdt.node')
  reason = binding.reason
} catch (error) {
  // dtrace-provider has this, for those who want to know
  if (process.env.NODE_DTRACE_PROVIDER_REQUIRE === 'hard') throw error
  reason = error.code === 'MODULE_NOT_FOUND' ? whyNotBuilt() : error.message
}

function whyNotBuilt () {
  try {
    return fs.readFileSync(path.join(__dirname, 'build', 'reason.txt'), 'utf8')
  } catch {
    return `not built: its install script has not run; this runs it: node "${path.join(__dirname, 'scripts', 'build.js')}"`
  }
}

const available = reason === undefined
const DTraceProvider = available ? require('./provider')(binding) : require('./quiet')(reason)

function createDTraceProvider (name, module) {
  return arguments.length === 2 ? new DTraceProvider(name, module) : new DTraceProvider(name)
}

module.exports = { DTraceProvider, createDTraceProvider, available, reason }
