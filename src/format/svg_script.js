// Zoom by click, search with the share of all that matches, the name under the mouse. The picture is whole without
// it. Each box is <g class="b"><title>name: 12.34 %, self ...</title><rect/><text/></g>, the root first.
(function () {
  'use strict'
  var LETTER = 6.6
  var $ = function (id) { return document.getElementById(id) }
  var details = $('details'), matched = $('matched'), reset = $('reset'), input = $('search')
  var boxes = Array.prototype.map.call(document.querySelectorAll('g.b'), function (g) {
    var rect = g.querySelector('rect'), title = g.querySelector('title').textContent
    return {
      g: g, rect: rect, own: g.getAttribute('class'), text: g.querySelector('text'), title: title,
      name: title.replace(/: [\d.]+ %, self [\s\S]*$/, ''),
      x: +rect.getAttribute('data-x'), w: +rect.getAttribute('data-w'), y: +rect.getAttribute('y'),
    }
  })
  var root = boxes[0], zoomed = root

  // The beginning and the end of a name tell more than its middle; where there is no room for both, "..".
  function fit(name, width) {
    var letters = Math.floor((width - 6) / LETTER)
    if (letters < 3) return ''
    if (name.length <= letters) return name
    var head = Math.ceil((letters - 3) / 2), tail = letters - 3 - head
    return letters < 6 ? name.slice(0, letters - 2) + '..' : name.slice(0, head) + '...' + name.slice(name.length - tail)
  }

  function place(box, x, w, above) {
    box.g.style.display = ''
    box.g.setAttribute('class', above ? box.own + ' above' : box.own)
    box.rect.setAttribute('x', x.toFixed(1))
    box.rect.setAttribute('width', Math.max(w - 0.3, 0.1).toFixed(1))
    var shown = fit(box.name, w)
    if (shown && !box.text) {
      box.text = document.createElementNS('http://www.w3.org/2000/svg', 'text')
      box.text.setAttribute('y', box.y + 12)
      box.g.appendChild(box.text)
    }
    if (box.text) {
      box.text.textContent = shown
      box.text.setAttribute('x', (x + 3).toFixed(1))
    }
  }

  function zoom(to) {
    zoomed = to
    var scale = to.w > 0 ? root.w / to.w : 1, end = to.x + to.w, slack = 0.01
    boxes.forEach(function (b) {
      var inside = b.x >= to.x - slack && b.x + b.w <= end + slack && b.y <= to.y
      var around = b.y > to.y && b.x <= to.x + slack && b.x + b.w >= end - slack
      if (around) place(b, root.x, root.w, true)
      else if (to === root || (inside && b.w * scale >= 0.1)) place(b, root.x + (b.x - to.x) * scale, b.w * scale, false)
      else b.g.style.display = 'none'
    })
    reset.style.display = to === root ? 'none' : ''
  }

  function finder(what) {
    try {
      var re = new RegExp(what, 'i')
      return function (name) { return re.test(name) }
    } catch (e) { // no regular expression (yet): a part of the name
      return function (name) { return name.toLowerCase().indexOf(what.toLowerCase()) >= 0 }
    }
  }

  // The share of all samples that pass through what matches: boxes within a matching box are not counted again.
  function search(what) {
    var is = what && finder(what), hits = []
    boxes.forEach(function (b) {
      var hit = is && is(b.name) && b !== root
      b.rect.setAttribute('class', hit ? 'hit' : '')
      if (hit) hits.push(b)
    })
    hits.sort(function (a, b) { return a.x - b.x || b.w - a.w })
    var sum = 0, end = -1
    hits.forEach(function (b) {
      if (b.x >= end - 0.001) {
        sum += b.w
        end = b.x + b.w
      }
    })
    matched.textContent = !what ? '' : hits.length + (hits.length === 1 ? ' box, ' : ' boxes, ') + (100 * sum / root.w).toFixed(2) + ' %'
  }

  boxes.forEach(function (b) {
    b.g.addEventListener('mouseover', function () { details.textContent = b.title.replace(/\n/g, ', ') })
    b.g.addEventListener('mouseout', function () { details.textContent = '' })
    b.g.addEventListener('click', function () { zoom(b === zoomed ? root : b) })
  })
  reset.addEventListener('click', function () { zoom(root) })
  if (input) input.addEventListener('input', function () { search(input.value) })
  window.addEventListener('keydown', function (e) {
    if (e.key === '/' && document.activeElement !== input && input) {
      e.preventDefault()
      input.focus()
    } else if (e.key === 'Escape') {
      if (input) input.value = ''
      search('')
      zoom(root)
    }
  })
  document.documentElement.setAttribute('class', 'live')
})()
