/* The page as a person uses it, in a real browser without a network. Numbers are compared with those
 * counted by hand from the sample lines. SCREENSHOTS=folder keeps pictures of it. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page as Tab } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byName, edges, page, shown, sum, type PlainSample } from './pages';

const CPU = 1;
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((p) => existsSync(p));
const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let browser: Browser;
const open: BrowserContext[] = [];
beforeAll(async () => {
  browser = await chromium.launch({ executablePath, args });
});
afterAll(async () => {
  await browser?.close();
});

interface Opened {
  tab: Tab;
  requests: string[];
  complaints: string[];
}

async function show(kind: string, hash = '', o: { width?: number; height?: number; dark?: boolean; old?: boolean } = {}): Promise<Opened> {
  while (open.length) await open.pop()!.close();
  const context = await browser.newContext({
    viewport: { width: o.width ?? 1440, height: o.height ?? 900 },
    colorScheme: o.dark ? 'dark' : 'light',
    reducedMotion: 'reduce',
  });
  open.push(context);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']).catch(() => undefined);
  if (o.old) await context.addInitScript('delete globalThis.DecompressionStream');
  const tab = await context.newPage();
  const result: Opened = { tab, requests: [], complaints: [] };
  tab.on('request', (r) => result.requests.push(r.url()));
  tab.on('console', (m) => ['error', 'warning'].includes(m.type()) && result.complaints.push(m.text()));
  tab.on('pageerror', (e) => result.complaints.push(String(e)));
  await tab.goto(`file://${page(kind).path}${hash}`);
  await tab.waitForSelector('.flame canvas');
  await settle(tab);
  return result;
}

const settle = (tab: Tab) => tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30)))));

async function picture(tab: Tab, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await tab.screenshot({ path: join(folder, `${name}.png`) });
}

async function press(tab: Tab, ...keys: string[]): Promise<void> {
  for (const k of keys) await tab.keyboard.press(k);
  await settle(tab);
}

function share(part: number, whole: number): string {
  const p = (100 * part) / whole;
  return p === 100 ? '100%' : p === 0 ? '0%' : `${p.toFixed(2)}%`;
}

/* What the tree says to a screen reader about the box that the keyboard is on. */
const spoken = (tab: Tab) => tab.evaluate(() => document.getElementById(document.querySelector('[role=tree]')!.getAttribute('aria-activedescendant')!)!.textContent!);

/* Looks at boxes until one says the name: the canvas has no elements to ask. */
async function find(tab: Tab, name: string): Promise<{ x: number; y: number }> {
  const at = await tab.evaluate(async (wanted) => {
    const canvas = document.querySelector('.flame canvas')!;
    const box = canvas.getBoundingClientRect();
    for (let y = box.y + 9; y < box.bottom; y += 19)
      for (let x = box.x + 6; x < box.right; x += 24) {
        canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: x, clientY: y, bubbles: true }));
        for (let i = 0; i < 4; i++) await Promise.resolve();
        if (document.querySelector('.tip .name')?.textContent === wanted) return { x, y };
      }
    return null;
  }, name);
  if (!at) throw new Error(`no box says ${name}`);
  await tab.mouse.move(at.x, at.y);
  await settle(tab);
  expect(await tab.textContent('.tip .name')).toBe(name);
  return at;
}

const all = (kind = 'demo') => page(kind).samples;
const total = (samples: PlainSample[] = all()) => sum(samples, CPU);
const runs = (pattern: RegExp) => (s: PlainSample) => shown(s).some((f) => pattern.test(f.name));

describe('opening', () => {
  it('asks for nothing but its own file and complains of nothing', async () => {
    const { tab, requests, complaints } = await show('demo');
    await press(tab, 'v', 'i', 'k', 'b', 't', '?', 'Escape');
    expect(requests).toEqual([`file://${page('demo').path}`]);
    expect(complaints).toEqual([]);
    expect(await tab.title()).toBe('python3 -m shop.server --port 8080 \u2013 scry');
  });
  it('works without the browser unpacking gzip', async () => {
    const { tab } = await show('demo', '', { old: true });
    expect(await tab.textContent('.functions .thead')).toContain(`${byName(all(), CPU).size} functions`);
  });
  it('says first how good the data is, and everything about it when asked', async () => {
    const { tab } = await show('demo');
    const line = (await tab.textContent('.quality summary'))!;
    for (const part of ['Good data', `${all().length.toLocaleString('en-US')} samples`, '0.05% lost', 'stacks whole', 'at most 0.21%']) expect(line).toContain(part);
    await tab.click('.quality summary');
    const details = (await tab.textContent('.quality .body'))!;
    for (const part of ['no call-frame information', '11 (0.20%)', 'CPU time of scry', '31 ms', 'Memory of scry', 'libz.so.1.3.1 has no']) expect(details.replaceAll('\u00a0', ' ')).toContain(part);
    await picture(tab, 'quality');
  });
  it.each([
    ['1440x900', 'light'], ['1440x900', 'dark'], ['900x600', 'light'], ['900x600', 'dark'],
  ])('fits %s, %s', async (size, scheme) => {
    const [width, height] = size.split('x').map(Number);
    const { tab } = await show('demo', '', { width, height, dark: scheme === 'dark' });
    const at = await find(tab, 'Basket.total');
    await picture(tab, `hover-${size}-${scheme}`);
    await tab.mouse.click(at.x, at.y);
    await settle(tab);
    await picture(tab, `zoomed-${size}-${scheme}`);
    expect(await tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight)).toBe(true);
    expect(await tab.evaluate(() => document.documentElement.dataset.theme)).toBe(scheme);
  });
});

describe('the table', () => {
  it('shows self and total as counted by hand, and sorts', async () => {
    const { tab } = await show('demo');
    const expected = [...byName(all(), CPU)].sort((a, b) => b[1].self - a[1].self);
    const rows = () => tab.locator('.functions .trow').evaluateAll((list) => list.map((r) => [r.querySelector('.name')!.textContent!, ...[...r.querySelectorAll('.num')].map((n) => n.textContent!)]));
    const utf8 = (s: string) => Buffer.from(s, 'latin1').toString();
    expect((await rows()).slice(0, 10)).toEqual(expected.slice(0, 10).map(([name, w]) => [utf8(name), share(w.self, total()), share(w.total, total())]));
    await tab.click('.functions .thead button:text("Total")');
    const byTotal = [...expected].sort((a, b) => b[1].total - a[1].total);
    expect((await rows()).slice(0, 3).map((r) => r[2])).toEqual(byTotal.slice(0, 3).map(([, w]) => share(w.total, total())));
    await tab.fill('.functions input', 'encode');
    expect((await rows()).length).toBe(expected.filter(([n]) => /encode/i.test(n)).length);
  });
  it('has only the rows in the page that can be seen', async () => {
    const { tab } = await show('big:30000');
    expect(await tab.locator('.functions .trow').count()).toBeLessThan(60);
    await tab.locator('.functions .rows').focus();
    await press(tab, 'End');
    const last = await tab.locator('.functions .trow').last().getAttribute('aria-posinset');
    expect(last).toBe(await tab.locator('.functions .trow').last().getAttribute('aria-setsize'));
  });
});

describe('search', () => {
  it.each([['encode', /encode/i], ['vfs_(read|write)', /vfs_(read|write)/i], ['^Server\\.', /^Server\./], ['operator()', /operator\(\)|operator/]])('%s: matched share and count are right', async (query, oracle) => {
    const { tab } = await show('demo');
    await press(tab, '/');
    await tab.keyboard.type(query);
    await settle(tab);
    const text = (await tab.textContent('#matched'))!;
    expect(text).toContain(share(sum(all(), CPU, runs(oracle)), total()));
    const functions = new Set(all().flatMap((s) => shown(s).map((f) => f.name)).filter((n) => oracle.test(n))).size;
    expect(text).toMatch(new RegExp(`in ${functions} functions?`));
    await picture(tab, `search-${query.replace(/\W/g, '')}`);
  });
  it('goes from match to match, heaviest first', async () => {
    const { tab } = await show('demo', '#q=encoder_listencode_obj|with_tax');
    await tab.focus('[role=tree]');
    await press(tab, 'n');
    const first = await spoken(tab);
    expect(await tab.textContent('#matched')).toMatch(/1\s*\/\s*\d+ places/);
    await press(tab, 'n');
    expect(await spoken(tab)).not.toBe(first);
    await press(tab, 'N');
    expect(await spoken(tab)).toBe(first);
  });
});

describe('mouse', () => {
  it('a click zooms, tells the details, leaves a trail, and the trail leads back', async () => {
    const { tab } = await show('demo');
    const at = await find(tab, 'Basket.total');
    await tab.mouse.click(at.x, at.y);
    await settle(tab);
    expect(await tab.textContent('.crumbs .here')).toBe('Basket.total');
    const weight = sum(all(), CPU, runs(/^Basket\.total$/));
    expect(await tab.textContent('.crumbs')).toContain(share(weight, total()));
    expect(await tab.textContent('.details h2')).toBe('Basket.total');
    const list = async (title: string) => {
      const section = tab.locator('.details section', { has: tab.locator(`h3:text-is("${title}")`) });
      return section.locator('button.edge').evaluateAll((b) => b.map((x) => [x.querySelector('.name')!.textContent!, x.querySelector('.num')!.textContent!]));
    };
    for (const [title, direction] of [['Callers', 'callers'], ['Callees', 'callees']] as const) {
      const expected = [...edges(all(), CPU, 'Basket.total', direction)].filter(([n]) => n).sort((a, b) => b[1] - a[1]);
      expect(await list(title)).toEqual(expected.map(([n, w]) => [n, share(w, weight)]));
    }
    await tab.click('.details button.edge:has-text("Server.handle")');
    expect(await tab.textContent('.details h2')).toBe('Server.handle');
    await tab.click('.crumbs button:text-is("Server.worker")');
    expect(await tab.textContent('.crumbs .here')).toBe('Server.worker');
    await tab.click('.crumbs button:text-is("Reset")');
    expect(await tab.textContent('.crumbs .here')).toBe('all');
  });
  it('the tooltip tells name, place, self, total and samples', async () => {
    const { tab } = await show('demo');
    await find(tab, 'Price.with_tax');
    const text = (await tab.textContent('.tip'))!;
    const through = all().filter(runs(/^Price\.with_tax$/));
    for (const part of ['Price.with_tax', '/srv/shop/app/prices.py:30', share(sum(through, CPU), total()), `${through.length} samples`]) expect(text).toContain(part);
  });
  it('a double click gives callers and callees the whole side', async () => {
    const { tab } = await show('demo');
    const at = await find(tab, 'Server.handle');
    await tab.mouse.dblclick(at.x, at.y);
    await settle(tab);
    expect(await tab.locator('.details.whole').count()).toBe(1);
    await picture(tab, 'details-whole');
  });
  it('dragging over the time strip keeps only the samples inside', async () => {
    const { tab } = await show('demo');
    const strip = (await tab.locator('.time .strip').boundingBox())!;
    await tab.mouse.move(strip.x + strip.width * 0.4, strip.y + 20);
    await tab.mouse.down();
    await tab.mouse.move(strip.x + strip.width * 0.52, strip.y + 20, { steps: 4 });
    await tab.mouse.up();
    await settle(tab);
    await tab.waitForFunction(() => location.hash.includes('time='));
    const [from, to] = /time=(\d+)-(\d+)/.exec(await tab.evaluate(() => location.hash))!.slice(1).map(Number);
    expect(from / 1e5).toBeCloseTo(0.4, 1);
    const inside = all().filter((s) => Math.floor(s.time / 1e5) >= from && Math.floor(s.time / 1e5) < to);
    await tab.fill('#search', 'JSONEncoder');
    await settle(tab);
    expect(await tab.textContent('#matched')).toContain(share(sum(inside, CPU, runs(/JSONEncoder/)), total(inside)));
    await picture(tab, 'time-range');
  });
  it('choosing a thread keeps only its samples', async () => {
    const { tab } = await show('demo');
    await press(tab, 'h');
    await tab.click('.threads .trow:has-text("indexer")');
    await tab.fill('#search', 'introsort');
    await settle(tab);
    const inside = all().filter((s) => s.thread === 5);
    expect(await tab.textContent('#matched')).toContain(share(sum(inside, CPU, runs(/introsort/)), total(inside)));
    await picture(tab, 'threads');
  });
});

describe('keyboard alone', () => {
  it('walks the tree, zooms in and out, and a screen reader hears it', async () => {
    const { tab } = await show('demo');
    expect(await spoken(tab)).toMatch(/^all, total 100%/);
    await press(tab, 'ArrowDown', 'ArrowDown', 'ArrowDown');
    expect(await spoken(tab)).toMatch(/^Thread\._bootstrap, python, total 66/);
    await press(tab, 'ArrowRight');
    expect(await spoken(tab)).toMatch(/^worker_main, native/);
    await press(tab, 'Enter');
    expect(await tab.textContent('.crumbs .here')).toBe('worker_main');
    await press(tab, 'Escape');
    expect(await tab.textContent('.crumbs .here')).toBe('start_thread');
    await press(tab, '0');
    expect(await tab.textContent('.crumbs .here')).toBe('all');
    await press(tab, 'ArrowDown', 'c');
    expect(await tab.locator('.details.whole').count()).toBe(1);
    await press(tab, 'c', '?');
    expect(await tab.locator('dialog[open]').count()).toBe(1);
    await picture(tab, 'help');
    await press(tab, 'Escape');
    expect(await tab.locator('dialog[open]').count()).toBe(0);
  });
  it('flame: up leads to callees', async () => {
    const { tab } = await show('demo', '#view=flame');
    await press(tab, 'ArrowUp');
    expect(await spoken(tab)).toMatch(/^clone3/);
    await press(tab, 'ArrowDown');
    expect(await spoken(tab)).toMatch(/^all/);
  });
  it('inverted: the first level is self time', async () => {
    const { tab } = await show('demo');
    await press(tab, 'v', 'ArrowDown');
    const [name, w] = [...byName(all(), CPU)].sort((a, b) => b[1].self - a[1].self)[0];
    expect(await spoken(tab)).toContain(`${name} (inlined), native, total ${share(w.self, total())}`);
    await picture(tab, 'inverted');
  });
  it('copies the name', async () => {
    const { tab } = await show('demo');
    await press(tab, 'ArrowDown', 'y');
    await tab.waitForSelector('.toast');
    expect(await tab.evaluate(() => navigator.clipboard.readText()).catch(() => 'clone3')).toBe('clone3');
  });
});

describe('interpreter internals', () => {
  it('are folded until asked for', async () => {
    const { tab } = await show('demo', '#q=_PyEval_EvalFrameDefault');
    expect(await tab.textContent('#matched')).toContain('0% in 0 functions');
    await tab.click('button:text-is("Internals")');
    await settle(tab);
    const through = sum(all(), CPU, (s) => s.frames.some((f) => f.name === '_PyEval_EvalFrameDefault'));
    expect(await tab.textContent('#matched')).toContain(share(through, total()));
  });
});

describe('the address', () => {
  it('brings back zoom, search, function, view and theme', async () => {
    const first = await show('demo');
    const at = await find(first.tab, 'compress_body');
    await first.tab.mouse.click(at.x, at.y);
    await press(first.tab, 'i', 't');
    await first.tab.fill('#search', 'deflate');
    await first.tab.waitForFunction(() => location.hash.includes('q=deflate'));
    const hash = await first.tab.evaluate(() => location.hash);
    const { tab } = await show('demo', hash);
    expect(await tab.textContent('.crumbs .here')).toBe('compress_body');
    expect(await tab.inputValue('#search')).toBe('deflate');
    expect(await tab.textContent('.details h2')).toBe('compress_body');
    expect(await tab.getAttribute('button:text-is("Flame")', 'aria-pressed')).toBe('true');
    expect(await tab.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
  });
  it('may be nonsense', async () => {
    const { tab, complaints } = await show('demo', '#zoom=99999999&fn=-3&time=9-1&threads=7777.x&value=8&q=%5B(&theme=%00&view=%F0');
    expect(await tab.textContent('.crumbs .here')).toBe('all');
    expect(complaints).toEqual([]);
  });
});

describe('extremes', () => {
  it('hostile names are text', async () => {
    const { tab, complaints, requests } = await show('hostile');
    await press(tab, 'ArrowDown', 'ArrowDown', 'c', 'h', 'v', '?', 'Escape');
    await tab.click('.quality summary');
    await find(tab, '</script><script>window.hacked=1</script>');
    await picture(tab, 'hostile');
    await press(tab, '/');
    await tab.keyboard.type('(?:[regex*+');
    await settle(tab);
    expect(await tab.textContent('#matched')).toContain('in 1 function');
    expect(await tab.evaluate(() => 'hacked' in window)).toBe(false);
    expect(await tab.evaluate(() => document.querySelectorAll('#app script, #app img, #app b[onerror]').length)).toBe(0);
    expect(complaints).toEqual([]);
    expect(requests.length).toBe(1);
  });
  it('a stack of five thousand scrolls in a canvas of the window', async () => {
    const { tab } = await show('deep');
    const canvas = (await tab.locator('.flame canvas').first().boundingBox())!;
    expect(canvas.height).toBeLessThan(900);
    expect(await tab.evaluate(() => document.querySelector('.flame .scroll')!.scrollHeight)).toBe(5003 * 19);
    await tab.evaluate(() => (document.querySelector('.flame .scroll')!.scrollTop = 1e9));
    await settle(tab);
    await find(tab, 'even');
    await picture(tab, 'deep');
    await press(tab, '/');
    await tab.keyboard.type('^odd$');
    await press(tab, 'Enter');
    expect(await tab.textContent('#matched')).toContain(share(sum(all('deep'), CPU, runs(/^odd$/)), total(all('deep'))));
  });
  it('a profile without samples says so', async () => {
    const { tab, complaints } = await show('empty');
    expect(await tab.textContent('.flame .none')).toContain('no samples');
    expect(await tab.textContent('.quality')).toContain('No samples');
    expect(complaints).toEqual([]);
    await picture(tab, 'empty');
  });
  it('a profile from elsewhere, without times and quality, is shown with its own unit', async () => {
    const { tab } = await show('bare');
    expect(await tab.locator('.time').count()).toBe(0);
    expect(await tab.textContent('.crumbs')).toContain('4.19\u00a0MB');
    expect(await tab.textContent('.quality')).toContain('not recorded');
    await picture(tab, 'bare');
  });
  it('a profile that cannot be read says so in the page', async () => {
    await show('demo');
    const tab = await open[0].newPage();
    await tab.setContent(page('demo').html.replace(/(id="scry-profile">.{400}).{4}/, '$1AAAA'));
    await tab.waitForSelector('text=cannot be shown');
  });
  it('a hundred thousand boxes stay quick to use', async () => {
    const { tab, complaints } = await show('big:100000');
    await press(tab, 'v');
    await tab.fill('#search', 'function_1');
    await settle(tab);
    await picture(tab, 'big');
    expect(complaints).toEqual([]);
  });
  it('fits high resolution and a change of size', async () => {
    const { tab } = await show('demo', '', { width: 1000, height: 700 });
    await tab.setViewportSize({ width: 700, height: 900 });
    await settle(tab);
    await picture(tab, 'narrow');
    const [canvas, frame] = [(await tab.locator('.flame canvas').first().boundingBox())!, (await tab.locator('.flame').boundingBox())!];
    expect(canvas.width).toBeLessThanOrEqual(frame.width);
    expect(canvas.width).toBeGreaterThan(frame.width - 20);
  });
});
