// What speedscope's own importer makes of a file: node speedscope_import.mjs PACKAGE FILE
//
// The published package is one script for browsers. Its importers are a module inside it that is made on demand;
// the script is run up to the place where the page is set up, and that module handed out.
import fs from 'node:fs'
import path from 'node:path'
import vm from 'node:vm'

const [folder, file] = process.argv.slice(2)
const release = path.join(folder, 'dist/release')
const name = fs.readdirSync(release).find((n) => /^speedscope-\w+\.js$/.test(n))
const source = fs.readFileSync(path.join(release, name), 'utf8')
// var jr=Promise.resolve().then(()=>(Sf(),kf)) is where the page asks for the importers.
const at = /var \w+=Promise\.resolve\(\)\.then\(\(\)=>\((\w+)\(\),(\w+)\)\)/.exec(source)
if (!at || !source.includes('importProfileGroupFromText'))
  throw new Error('this release of speedscope is built otherwise: the importers were not found')
const page = {
  console: { ...console, log() {} }, TextDecoder, TextEncoder, setTimeout, clearTimeout, URL, performance,
  navigator: { userAgent: 'node' }, location: { protocol: 'http:', hash: '', href: 'http://x/' },
  document: { createElement: () => ({ style: {}, getContext: () => null }), createTextNode: () => ({}), addEventListener() {} },
  addEventListener() {}, matchMedia: () => ({ matches: false, addListener() {}, addEventListener() {} }),
}
page.window = page.self = page.globalThis = page
vm.runInNewContext(`${source.slice(0, at.index)};window.importers=(${at[1]}(),${at[2]})})()`, page)

const group = await page.importers.importProfileGroupFromText(path.basename(file), fs.readFileSync(file, 'utf8'))
const frame = (f) => ({ name: f.name, file: f.file ?? null, line: f.line ?? null, col: f.col ?? null })
const profiles = group.profiles.map((p) => {
  const functions = []
  p.forEachFrame((f) => functions.push({ ...frame(f), self: f.getSelfWeight(), total: f.getTotalWeight() }))
  const stacks = []
  p.samples.forEach((node, i) => {
    const frames = []
    for (; node && node.parent; node = node.parent) frames.push(node.frame.name)
    stacks.push([p.weights[i], frames])
  })
  return { name: p.getName(), unit: p.getWeightUnit(), total: p.getTotalWeight(), functions, stacks }
})
process.stdout.write(JSON.stringify({ name: group.name, active: group.indexToView, profiles }))
