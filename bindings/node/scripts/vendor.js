// npm pack: the library's sources, which the repository has once, go into the package as libusdt/.
'use strict'
const fs = require('fs')
const path = require('path')

const root = path.join(__dirname, '..', '..', '..')
const to = path.join(__dirname, '..', 'libusdt')
fs.rmSync(to, { recursive: true, force: true })
if (!process.argv.includes('--remove')) {
  fs.mkdirSync(to)
  for (const name of fs.readdirSync(root)) {
    if (/^(usdt(_\w+)?\.[chs]|LICENSE)$/.test(name)) fs.copyFileSync(path.join(root, name), path.join(to, name))
  }
}
