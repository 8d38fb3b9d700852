import { deflateRawSync, gzipSync, constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decode, harmless } from '../../web/src/data/decode';
import { inflate } from '../../web/src/data/inflate';
import { RawStacks, neighbours } from '../../web/src/model/details';
import { duration, percent, value } from '../../web/src/model/format';
import { judge } from '../../web/src/model/quality';
import { compile, search } from '../../web/src/model/search';
import { buildTree, type TreeOptions } from '../../web/src/model/tree';
import { everything, passing, weigh, weighSyms } from '../../web/src/model/weights';
import { firstEndingAfter, hit, type Scene } from '../../web/src/flame/renderer';
import { INTERNAL, blockOf, byName, edges, page, profileOf, shown, sum } from './pages';

const CPU = 1;
const demo = page('demo');
const p = profileOf(demo);
const plain: TreeOptions = { showInternal: false, byThread: false, inverted: false, valueType: CPU };
const names = (sym: number) => p.syms[sym].name;
const symNamed = (name: string) => p.syms.findIndex((s) => s.name === name && !(s.flags & INTERNAL));
const close = (a: number, b: number) => expect(Math.abs(a - b)).toBeLessThan(1e-6 * Math.max(1, Math.abs(b)));

describe('unpacking', () => {
  const texts = ['', 'a', 'abc'.repeat(5000), [...Array(20000).keys()].join(' '), Buffer.from([...Array(70000).keys()].map((i) => (i * 7919) >> 3)).toString('latin1')];
  it.each([
    ['dynamic codes', { level: 9 }],
    ['fixed codes', { level: 6, strategy: constants.Z_FIXED }],
    ['stored blocks', { level: 0 }],
  ])('gives back what zlib packed with %s', (_name, options) => {
    for (const text of texts) expect(Buffer.from(inflate(gzipSync(text, options))).toString()).toBe(text);
  });
  it('refuses damaged data with an error instead of running on', () => {
    const good = gzipSync(texts[3]);
    for (let i = 10; i < good.length; i += 97) {
      const bad = Uint8Array.from(good);
      bad[i] ^= 0x55;
      try {
        inflate(bad);
      } catch (e) {
        expect(e).toBeInstanceOf(Error);
      }
    }
    expect(() => inflate(good.subarray(0, 40))).toThrow();
    expect(() => inflate(deflateRawSync('x'.repeat(100)))).toThrow();
  });
});

describe('reading', () => {
  it('gives back every sample with its thread, time, values, frames, lines and flags', () => {
    expect(p.sampleStack.length).toBe(demo.samples.length);
    demo.samples.forEach((s, i) => {
      expect(p.sampleThread[i]).toBe(s.thread);
      expect(p.sampleTime[i]).toBe(Math.floor(s.time / p.timeUnit));
      expect([p.sampleValues[0][i], p.sampleValues[1][i]]).toEqual(s.values);
      const frames = [];
      for (let at = p.sampleStack[i]; at; at = p.stackParent[at]) {
        const f = p.stackFrame[at];
        frames.push(`${p.syms[p.frameSym[f]].kind} ${p.frameFlags[f]} ${p.frameLine[f]} ${p.syms[p.frameSym[f]].name}`);
      }
      expect(frames.reverse()).toEqual(s.frames.map((f) => `${f.kind} ${f.flags} ${f.line} ${Buffer.from(f.name, 'latin1')}`));
    });
  });
  it('keeps the head: command, host, duration, threads, quality', () => {
    expect(p).toMatchObject({ command: 'python3 -m shop.server --port 8080', host: 'shop-3', duration: 1e10, defaultValue: 1 });
    expect(p.threads[1]).toMatchObject({ pid: 4711, tid: 4712, process: 'python3', name: 'worker-0', runtime: 'python 3.12.7' });
    expect(p.quality).toMatchObject({ taken: demo.samples.length, lost: 3, truncated: [{ reason: 'no call-frame information', count: 11 }] });
  });
  it('refuses a block that is cut or points outside its tables', () => {
    const block = blockOf(demo);
    expect(() => decode(block.subarray(0, block.length - 1))).toThrow();
    expect(() => decode(block.subarray(1))).toThrow();
    const start = 12 + new DataView(block.buffer, block.byteOffset).getUint32(8, true);
    let refused = 0;
    for (let i = start; i < block.length; i += 41) {
      const bad = Uint8Array.from(block);
      bad[i] = 0xff;
      try {
        buildTree(decode(bad), plain); /* what is accepted must at least not break anything */
      } catch (e) {
        expect(e).toBeInstanceOf(Error);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
  it('makes names harmless that would hide or reorder text', () => {
    expect(harmless('a\u202eb\nc\u2066d\u0000')).toBe('a\ufffdb\ufffdc\ufffdd\ufffd');
    expect(harmless('\ud83d\udc69\u200d\ud83d\ude80 \u05e9\u05dc')).toBe('\ud83d\udc69\u200d\ud83d\ude80 \u05e9\u05dc');
  });
});

describe.each([
  ['root first', plain],
  ['with internals', { ...plain, showInternal: true }],
  ['inverted', { ...plain, inverted: true }],
  ['by thread', { ...plain, byThread: true }],
  ['inverted, by thread, with internals', { showInternal: true, byThread: true, inverted: true, valueType: 0 }],
])('the tree, %s', (_name, o) => {
  const tree = buildTree(p, o);
  const w = weigh(tree, p.sampleValues[o.valueType], null);

  it('has a box with the right weight for every path, and no other', () => {
    const expected = new Map<string, number>();
    for (const s of demo.samples) {
      const parts = shown(s, o.showInternal).map((f) => `${f.kind}|${f.flags & INTERNAL}|${Buffer.from(f.name, 'latin1')}`);
      if (o.inverted) parts.reverse();
      if (o.byThread) parts.unshift(`thread ${s.thread}`);
      for (let n = 0; n <= parts.length; n++) {
        const key = parts.slice(0, n).join('\n');
        expected.set(key, (expected.get(key) ?? 0) + s.values[o.valueType]);
      }
    }
    const keys: string[] = [''];
    for (let i = 1; i < tree.n; i++) {
      const sym = tree.sym[i];
      const part = sym >= p.firstThreadSym ? `thread ${sym - p.firstThreadSym}` : `${p.syms[sym].kind}|${p.syms[sym].flags & INTERNAL}|${p.syms[sym].name}`;
      keys[i] = keys[tree.parent[i]] ? `${keys[tree.parent[i]]}\n${part}` : part;
    }
    expect(new Set(keys).size).toBe(expected.size);
    keys.forEach((k, i) => close(w.total[i], expected.get(k) ?? NaN));
  });

  it('is laid out: levels in order, children inside their parent, side by side, heaviest first', () => {
    for (let i = 1; i < tree.n; i++) {
      const parent = tree.parent[i];
      expect(parent).toBeLessThan(i);
      expect(tree.depth[i]).toBe(tree.depth[parent] + 1);
      expect(i >= tree.levelStart[tree.depth[i]] && i < tree.levelStart[tree.depth[i] + 1]).toBe(true);
      expect(i >= tree.childStart[parent] && i < tree.childStart[parent + 1]).toBe(true);
      expect(w.x[i]).toBeGreaterThanOrEqual(w.x[parent]);
      expect(w.x[i] + w.total[i]).toBeLessThanOrEqual(w.x[parent] + w.total[parent] + 1e-3);
      if (i > tree.childStart[parent]) {
        close(w.x[i], w.x[i - 1] + w.total[i - 1]);
        expect(w.total[i]).toBeLessThanOrEqual(w.total[i - 1]);
      }
    }
  });

  it('knows which boxes have no box of the same function around them', () => {
    for (let i = 0; i < tree.n; i++) {
      let outer = true;
      for (let a = tree.parent[i]; i && a; a = tree.parent[a]) if (tree.sym[a] === tree.sym[i]) outer = false;
      expect(tree.outer[i] === 1).toBe(outer);
    }
  });
});

describe('functions', () => {
  const tree = buildTree(p, plain);
  const w = weigh(tree, p.sampleValues[CPU], null);

  it('have the self and total that counting by hand gives, recursion counted once', () => {
    const s = weighSyms(tree, w, p.syms.length);
    const expected = byName(demo.samples, CPU);
    for (const [name, e] of expected) {
      const sym = symNamed(Buffer.from(name, 'latin1').toString());
      close(s.self[sym], e.self);
      close(s.total[sym], e.total);
    }
    expect(s.total.slice(1, p.firstThreadSym).filter((t) => t > 0).length).toBe(expected.size);
  });

  it.each(['std::__introsort_loop<\u2026>', 'encoder_listencode_dict', 'Server.handle', 'clone3', 'by_price::operator()'])('%s has the right callers and callees', (name) => {
    const got = neighbours(tree, w, symNamed(name), p.syms.length);
    const latin = Buffer.from(name).toString('latin1');
    for (const direction of ['callers', 'callees'] as const) {
      const expected = edges(demo.samples, CPU, latin, direction);
      expect(got[direction].map((e) => (e.sym ? names(e.sym) : '')).sort()).toEqual([...expected.keys()].map((k) => Buffer.from(k, 'latin1').toString()).sort());
      for (const e of got[direction]) close(e.weight, expected.get(e.sym ? Buffer.from(names(e.sym)).toString('latin1') : '')!);
    }
  });

  it.each([false, true])('have lines with the right weights (internals shown: %s)', (internal) => {
    const raw = new RawStacks(p);
    const rw = raw.weigh(p.sampleValues[CPU], null);
    const folded = (stack: number) => !internal && (p.frameFlags[p.stackFrame[stack]] & INTERNAL) !== 0;
    for (const name of ['Server.handle', 'Price.with_tax', 'std::__introsort_loop<\u2026>']) {
      const latin = Buffer.from(name).toString('latin1');
      const expected = new Map<number, { self: number; total: number }>();
      for (const s of demo.samples) {
        const frames = shown(s, internal);
        for (const line of new Set(frames.filter((f) => f.name === latin).map((f) => f.line))) {
          const e = expected.get(line) ?? { self: 0, total: 0 };
          e.total += s.values[CPU];
          const last = frames[frames.length - 1];
          if (last.name === latin && last.line === line) e.self += s.values[CPU];
          expected.set(line, e);
        }
      }
      const got = raw.lines(symNamed(name), rw, folded);
      expect(got.map((l) => l.line)).toEqual([...expected.keys()].sort((a, b) => a - b));
      for (const l of got) {
        close(l.self, expected.get(l.line)!.self);
        close(l.total, expected.get(l.line)!.total);
      }
    }
  });
});

describe('a choice of time and threads', () => {
  it('counts exactly the samples inside it', () => {
    const tree = buildTree(p, plain);
    for (const f of [
      { ...everything, threads: new Set([2, 5]) },
      { from: 20000, to: 45000, threads: null },
      { from: 20000, to: 45000, threads: new Set([5]) },
    ]) {
      const w = weigh(tree, p.sampleValues[CPU], passing(p, f));
      const inside = demo.samples.filter((s) => {
        const t = Math.floor(s.time / p.timeUnit);
        return t >= f.from && t < f.to && (f.threads === null || f.threads.has(s.thread));
      });
      expect(inside.length).toBeGreaterThan(100);
      close(w.total[0], sum(inside, CPU));
      const s = weighSyms(tree, w, p.syms.length);
      for (const [name, e] of byName(inside, CPU)) close(s.total[symNamed(Buffer.from(name, 'latin1').toString())], e.total);
    }
    expect(passing(p, everything)).toBeNull();
  });
});

describe('search', () => {
  const tree = buildTree(p, plain);
  const w = weigh(tree, p.sampleValues[CPU], null);
  it.each([
    ['encode', /encode/i],
    ['^Server\\.', /^Server\./],
    ['introsort', /introsort/i],
    ['vfs_(read|write)', /vfs_(read|write)/i],
    ['by_price::operator()', /by_price::operator/],
    ['nothing like this', /$^/],
  ])('%s counts every sample once that runs through a match', (query, oracle) => {
    const found = search(tree, w, p.syms, compile(query)!);
    close(found.weight, sum(demo.samples, CPU, (s) => shown(s).some((f) => oracle.test(f.name))));
    expect(found.functions).toBe(new Set(demo.samples.flatMap((s) => shown(s).map((f) => f.name)).filter((n) => oracle.test(n))).size);
    for (let i = 1; i < found.nodes.length; i++) expect(w.total[found.nodes[i]]).toBeLessThanOrEqual(w.total[found.nodes[i - 1]]);
  });
  it('takes what is not a regular expression as text, and capitals as meant', () => {
    const s = (name: string, file = '') => ({ name, file, startLine: 0, kind: 'native', module: '', flags: 0 });
    expect(compile('f(')!(s('f(x)'))).toBe(true);
    expect(compile('a+b[')!(s('aab'))).toBe(false);
    expect(compile('Foo')!(s('foo'))).toBe(false);
    expect(compile('foo')!(s('FOO'))).toBe(true);
    expect(compile('file:views')!(s('x', '/srv/views.py'))).toBe(true);
    expect(compile('  ')).toBeNull();
  });
});

describe('hits', () => {
  it('find the box under a point that looking at all boxes finds', () => {
    const tree = buildTree(p, plain);
    const w = weigh(tree, p.sampleValues[CPU], null);
    const scene = { tree, weights: w, rootAtTop: true } as Scene;
    for (let i = 0; i < 500; i++) {
      const px = (i * 379) % 1000;
      const py = ((i * 17) % (tree.levels + 1)) * 19 + 5;
      const at = (px / 1000) * w.total[0];
      const depth = Math.floor(py / 19);
      let expected = -1;
      for (let n = 0; n < tree.n; n++) if (tree.depth[n] === depth && w.x[n] <= at && at < w.x[n] + w.total[n]) expected = n;
      expect(hit(scene, { from: 0, to: w.total[0], scroll: 0, width: 1000, height: 5000 }, px, py)).toBe(expected);
    }
    expect(firstEndingAfter(tree, w, 1, w.total[0] + 1)).toBe(tree.levelStart[2]);
  });
});

describe('extremes', () => {
  it('a recursion of five thousand keeps every frame, both ways', () => {
    const deep = profileOf(page('deep'));
    const tree = buildTree(deep, plain);
    expect(tree.levels).toBe(1 + 1 + 5000 + 1);
    const w = weigh(tree, deep.sampleValues[CPU], null);
    const s = weighSyms(tree, w, deep.syms.length);
    const sym = deep.syms.findIndex((x) => x.name === 'descend');
    close(s.total[sym], w.total[0]);
    expect(neighbours(tree, w, sym, deep.syms.length).callees.length).toBe(3);
    const inverted = buildTree(deep, { ...plain, inverted: true });
    expect(inverted.levels).toBe(5003);
    expect(inverted.cutAt).toBe(0);
  });
  it('profiles without samples, times or quality are shown as what they are', () => {
    const empty = profileOf(page('empty'));
    expect(buildTree(empty, plain).n).toBe(1);
    expect(judge(empty)).toMatchObject({ grade: 'poor', word: 'No samples' });
    const bare = profileOf(page('bare'));
    expect(judge(bare).grade).toBe('unknown');
    const tree = buildTree(bare, { ...plain, valueType: 0 });
    const w = weigh(tree, bare.sampleValues[0], null);
    expect(w.total[0]).toBe(4 << 20); /* the negative value counts as nothing */
    expect(value(w.total[0], 'bytes')).toBe('4.19\u00a0MB');
  });
});

describe('the verdict on the data', () => {
  it('is that of scry, with its margin', () => {
    expect(p.verdict).toMatchObject({ grade: 'good', samples: demo.samples.length, complete_is_known: true, concerns: [] });
    const v = judge(p);
    expect(v).toMatchObject({ grade: 'good', word: 'Good data', reasons: [] });
    const n = p.verdict.samples; /* Wilson's interval around one half */
    expect(p.verdict.margin_points).toBeCloseTo((100 * 1.96 / (1 + 1.96 ** 2 / n)) * Math.sqrt(0.25 / n + 1.96 ** 2 / (4 * n * n)), 3);
    expect(v.details[0].note).toContain(`\u00b1${p.verdict.margin_points.toFixed(1)} points`);
  });
  it('says why, the worst first, and what to do', () => {
    const concerns = [
      { grade: 'poor', text: 'there are few samples', advice: 'Capture longer' },
      { grade: 'fair', text: '2.0 % of the stacks are cut', advice: '' },
    ] as const;
    expect(judge({ ...p, verdict: { ...p.verdict, grade: 'poor', concerns: [...concerns] } })).toMatchObject({
      grade: 'poor', word: 'Poor data', reasons: ['There are few samples. Capture longer', '2.0 % of the stacks are cut'],
    });
  });
  it('of few samples is fair in the page as in the terminal', () => {
    const v = judge(profileOf(page('hostile')));
    expect(v).toMatchObject({ grade: 'fair', word: 'Fair data' });
    expect(v.reasons.length).toBe(1);
    expect(v.reasons[0]).toContain('share may be off by 6 points');
  });
});

describe('numbers', () => {
  it('are written for people and never rounded into a lie', () => {
    expect([percent(0, 5), percent(1, 3), percent(999999, 1000000), percent(1, 1), percent(1, 1e9), percent(1, 0)]).toEqual(['0%', '33.33%', '>99.99%', '100%', '<0.01%', '\u2013']);
    expect([duration(0), duration(1500), duration(9.69e9), duration(428e9), duration(7300e9)]).toEqual(['0\u00a0s', '1.50\u00a0\u00b5s', '9.69\u00a0s', '7\u00a0min 8\u00a0s', '2\u00a0h 1\u00a0min']);
    expect(value(1234567, 'count')).toBe('1,234,567');
  });
});
