"""The flame graph picture as XML, and in a browser: what is drawn, search, zoom."""
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest
from conftest import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def boxes(path):
    """[(name, total %, self %, x, width, y)]"""
    found = []
    for g in xml.parse(path).getroot().iter(SVG + "g"):
        title, rect = g.find(SVG + "title").text, g.find(SVG + "rect")
        name, total, own = re.fullmatch(r"(.*): ([\d.]+) %, self ([\d.]+) %\n.*", title, re.S).groups()
        found.append((name, float(total), float(own), float(rect.get("data-x")), float(rect.get("data-w")), float(rect.get("y"))))
    return found


@pytest.mark.parametrize("kind, seed", [("plain", 1), ("odd", 3)])
def test_boxes_are_as_wide_as_their_share_and_stand_on_their_callers(made, kind, seed):
    path, truth = made(".svg", kind, seed)
    all_ = boxes(path)
    root = all_[0]
    assert root[0] == "everything" and root[1] == 100
    for name, total, _, x, w, y in all_[1:]:
        assert abs(100 * w / root[4] - total) < 0.006, name
        below = [b for b in all_ if b[5] == y + 17 and b[3] - 0.01 <= x and x + w <= b[3] + b[4] + 0.01]
        assert len(below) == 1, name
    # Self shares of all boxes of a function add up to what is true, but for what is too narrow to be drawn.
    whole, own = truth.values(1), truth.by_function(1, leaf=True)
    if kind == "plain":
        for name in own:
            drawn = sum(b[2] for b in all_ if b[0] == name)
            assert abs(drawn - 100 * own[name] / whole) < 0.3, name
    text = "".join(xml.parse(path).getroot().itertext())
    assert "400 samples in 4.0 s, 7 lost, 99.25 % of the stacks whole" in text


def test_kinds_have_the_colours_that_the_page_gives_them(made):
    palette = (ROOT / "web/src/flame/palette.ts").read_text()
    fixed = {kind: (int(hue), int(saturation)) for kind, hue, saturation in re.findall(r"\['(\w+)', \[(\d+), (\d+)\]\]", palette)}
    assert {"native", "kernel", "python"} <= set(fixed)
    path, truth = made(".svg")
    root = xml.parse(path).getroot()
    kinds_of = {}
    for frame in (f for s in truth.samples for f in s["frames"]):
        kinds_of.setdefault(frame["name"], set()).add(frame["kind"])
    for g in list(root.iter(SVG + "g"))[1:]:
        name = g.find(SVG + "title").text.split(": ")[0]
        hue, saturation = re.match(r"hsl\(([\d.]+),(\d+)%", g.find(SVG + "rect").get("fill")).groups()
        may = [fixed[kind] for kind in kinds_of[name]]
        assert any(abs(float(hue) - h) <= 6 and int(saturation) == s for h, s in may), (name, may)
    # The legend: a square, and the kind beside it.
    squares = [r.get("fill") for r in root.findall(SVG + "rect") if r.get("height") == "11"]
    kinds = [t.text for t in root.findall(SVG + "text") if t.get("y") == "50" and t.text]
    assert set(kinds) == set().union(*kinds_of.values()) and len(squares) == len(kinds)
    for square, kind in zip(squares, kinds):
        assert square == "hsl(%d,%d%%,79%%)" % fixed[kind]


def test_nothing_comes_from_elsewhere(made):
    text = made(".svg")[0].read_text()
    links = set(re.findall(r"https?://[^\"' )]+", text))
    assert links == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}


def test_in_a_browser_search_tells_the_share_and_a_click_zooms(made, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("there is no chromium")
    path, truth = made(".svg")
    svg = path.read_text().split("?>", 1)[1]
    wanted = "function_1$|function_2$"
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><meta charset=utf-8><body>" + svg.replace("<![CDATA[", "").replace("]]>", "") + """<script>
      const input = document.getElementById('search'), said = {}
      input.value = WANTED; input.dispatchEvent(new Event('input'))
      said.matched = document.getElementById('matched').textContent
      said.hits = document.querySelectorAll('rect.hit').length
      const all = [...document.querySelectorAll('g.b')], root = all[0]
      const box = all.find(g => { const w = +g.querySelector('rect').dataset.w; return w < 500 && w > 100 })
      said.name = box.querySelector('title').textContent.split(':')[0]
      box.dispatchEvent(new MouseEvent('click', {bubbles: true}))
      said.width = box.querySelector('rect').getAttribute('width')
      said.shown = all.filter(g => g.style.display !== 'none').length
      said.text = box.querySelector('text').textContent
      window.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))
      said.again = all.filter(g => g.style.display !== 'none').length
      said.all = all.length
      said.cut = all.map(g => g.querySelector('text')).filter(t => t && t.textContent.length < 6 && t.textContent.length)
        .map(t => [t.parentNode.querySelector('title').textContent.split(':')[0], t.textContent])
      document.body.innerHTML = '<pre id=said></pre>'
      document.getElementById('said').textContent = JSON.stringify(said)
    </script>""".replace("WANTED", json.dumps(wanted)))
    done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}",
                           "--virtual-time-budget=5000", "--dump-dom", f"file://{page}"], text=True, capture_output=True, timeout=120)
    said = json.loads(re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.S)[1])
    through = sum(s["values"][1] for s in truth.samples if any(re.search(wanted, f["name"]) for f in s["frames"]))
    stated = float(re.search(r"([\d.]+) %", said["matched"])[1])
    assert abs(stated - 100 * through / truth.values(1)) < 0.3
    assert said["hits"] > 1
    assert abs(float(said["width"]) - 1179.7) < 0.2 and said["text"] == said["name"]
    assert said["cut"] and all(shown in (name, name[:len(shown) - 2] + "..") for name, shown in said["cut"]), said["cut"]
    assert 1 < said["shown"] < said["all"] == said["again"]
