/* The merged call tree, laid out for drawing: nodes are numbered level by level, siblings in the order
 * in which they are drawn. So a level is a range of numbers, a node's children are a range, and parents
 * come before their children: every sum is one pass, every hit a binary search. */
import { INTERNAL, type Profile } from '../data/profile';

export interface TreeOptions {
  showInternal: boolean;
  byThread: boolean;
  inverted: boolean;
  valueType: number;
}

export interface Tree {
  n: number;
  levels: number;
  parent: Int32Array;
  sym: Int32Array;
  depth: Int32Array;
  childStart: Int32Array; /* children of i: childStart[i] … childStart[i + 1] - 1 */
  levelStart: Int32Array; /* level d: levelStart[d] … levelStart[d + 1] - 1 */
  preorder: Int32Array; /* the nodes, depth first */
  outer: Uint8Array; /* 1: no ancestor has the same symbol */
  leaf: Int32Array; /* sample → node in which it ends */
  cutAt: number; /* 0, or: stacks are shown only to this depth */
}

/* The most steps that building an inverted tree may take, over all distinct stacks. */
const INVERTED_STEPS = 8_000_000;

/* Nodes in order of creation, found by (parent, symbol). */
class Builder {
  n = 1;
  parent = new Int32Array(1024);
  sym = new Int32Array(1024);
  private slots = new Int32Array(4096);

  constructor(expected: number) {
    let size = 4096;
    while (size < expected * 2) size *= 2;
    this.slots = new Int32Array(size);
    this.parent = new Int32Array(Math.max(1024, expected + 1));
    this.sym = new Int32Array(Math.max(1024, expected + 1));
  }

  private slotOf(parent: number, sym: number): number {
    const mask = this.slots.length - 1;
    let h = Math.imul(parent, 0x9e3779b1) ^ Math.imul(sym, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    let at = (h ^ (h >>> 13)) & mask;
    for (;;) {
      const node = this.slots[at];
      if (node === 0 || (this.parent[node] === parent && this.sym[node] === sym)) return at;
      at = (at + 1) & mask;
    }
  }

  private grow(): void {
    const bigger = (a: Int32Array) => {
      const b = new Int32Array(a.length * 2);
      b.set(a);
      return b;
    };
    if (this.n >= this.parent.length) {
      this.parent = bigger(this.parent);
      this.sym = bigger(this.sym);
    }
    if (this.n * 2 < this.slots.length) return;
    this.slots = new Int32Array(this.slots.length * 2);
    for (let i = 1; i < this.n; i++) this.slots[this.slotOf(this.parent[i], this.sym[i])] = i;
  }

  child(parent: number, sym: number): number {
    let at = this.slotOf(parent, sym);
    if (this.slots[at]) return this.slots[at];
    if (this.n >= this.parent.length || this.n * 2 >= this.slots.length) {
      this.grow();
      at = this.slotOf(parent, sym);
    }
    this.parent[this.n] = parent;
    this.sym[this.n] = sym;
    return (this.slots[at] = this.n++);
  }
}

/* Which raw stacks are skipped because their frame is folded away. */
function foldedStacks(p: Profile, showInternal: boolean): Uint8Array {
  const folded = new Uint8Array(p.stackParent.length);
  if (showInternal) return folded;
  for (let s = 1; s < folded.length; s++) folded[s] = p.frameFlags[p.stackFrame[s]] & INTERNAL ? 1 : 0;
  return folded;
}

function leavesByThread(p: Profile, b: Builder, folded: Uint8Array): Int32Array {
  const leaf = new Int32Array(p.sampleStack.length);
  const known = new Map<number, number>();
  for (let i = 0; i < leaf.length; i++) {
    const key = p.sampleThread[i] * p.stackParent.length + p.sampleStack[i];
    let node = known.get(key);
    if (node === undefined) {
      const trail: number[] = [];
      for (let s = p.sampleStack[i]; s; s = p.stackParent[s]) if (!folded[s]) trail.push(p.frameSym[p.stackFrame[s]]);
      node = b.child(0, p.firstThreadSym + p.sampleThread[i]);
      while (trail.length) node = b.child(node, trail.pop()!);
      known.set(key, node);
    }
    leaf[i] = node;
  }
  return leaf;
}

/* How deep stacks may be followed so that all of them together stay within the budget. */
function inversionDepth(depths: number[]): number {
  let low = 1;
  let high = depths.reduce((a, b) => Math.max(a, b), 1);
  const fits = (d: number) => depths.reduce((sum, x) => sum + Math.min(x, d), 0) <= INVERTED_STEPS;
  if (fits(high)) return 0;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function leavesLeafFirst(p: Profile, b: Builder, folded: Uint8Array, byThread: boolean): [Int32Array, number] {
  const { stackParent, stackFrame, frameSym } = p;
  const leaf = new Int32Array(p.sampleStack.length);
  const known = new Map<number, number>();
  const keyOf = (i: number) => (byThread ? p.sampleThread[i] * stackParent.length : 0) + p.sampleStack[i];
  for (let i = 0; i < leaf.length; i++) known.set(keyOf(i), -1);

  const depth = new Int32Array(stackParent.length);
  for (let s = 1; s < depth.length; s++) depth[s] = depth[stackParent[s]] + 1 - folded[s];
  const cut = inversionDepth([...known.keys()].map((k) => depth[k % stackParent.length]));

  for (let i = 0; i < leaf.length; i++) {
    const key = keyOf(i);
    let node = known.get(key)!;
    if (node < 0) {
      node = byThread ? b.child(0, p.firstThreadSym + p.sampleThread[i]) : 0;
      let steps = 0;
      for (let s = p.sampleStack[i]; s && (!cut || steps < cut); s = stackParent[s])
        if (!folded[s]) {
          node = b.child(node, frameSym[stackFrame[s]]);
          steps++;
        }
      known.set(key, node);
    }
    leaf[i] = node;
  }
  return [leaf, cut];
}

export function addUp(parent: Int32Array, n: number, self: Float64Array): Float64Array {
  const total = self.slice(0, n);
  for (let i = n - 1; i > 0; i--) total[parent[i]] += total[i];
  return total;
}

/* The nodes depth first; `parent` before child, siblings in order of number. */
export function preorderOf(parent: Int32Array, n: number): { order: Int32Array; size: Int32Array } {
  const size = new Int32Array(n).fill(1);
  for (let i = n - 1; i > 0; i--) size[parent[i]] += size[i];
  const cursor = new Int32Array(n);
  const order = new Int32Array(n);
  cursor[0] = 1;
  for (let i = 1; i < n; i++) {
    const at = cursor[parent[i]];
    cursor[parent[i]] += size[i];
    cursor[i] = at + 1;
    order[at] = i;
  }
  return { order, size };
}

function outermost(tree: Omit<Tree, 'outer'>, syms: number): Uint8Array {
  const outer = new Uint8Array(tree.n);
  const active = new Int32Array(syms);
  const path = new Int32Array(tree.levels + 1);
  let length = 0;
  for (let i = 0; i < tree.n; i++) {
    const node = tree.preorder[i];
    while (length > tree.depth[node]) active[path[--length]]--;
    const sym = tree.sym[node];
    outer[node] = active[sym]++ ? 0 : 1;
    path[length++] = sym;
  }
  return outer;
}

/* A tree that is not yet in order: parents come before children, and siblings may be alike. */
interface Loose {
  n: number;
  parent: Int32Array;
  sym: Int32Array;
  folded: Uint8Array | null; /* 1: not a node of its own; its children are its parent's */
  leaf: Int32Array; /* sample → loose node */
}

/* What is needed of a loose node sits together: the walk over them jumps about in memory. */
const RECORD = 4;
const SYM = 0; /* -1: folded away */
const FROM = 1; /* its children are list[FROM] … list[TO - 1] */
const TO = 2;
const NEXT = 3; /* another loose node of the same node, or -1 */

function recordsOf(t: Loose): { records: Int32Array; list: Int32Array } {
  const records = new Int32Array(t.n * RECORD);
  for (let i = 1; i < t.n; i++) records[t.parent[i] * RECORD + TO]++;
  for (let i = 0, at = 0; i < t.n; i++) {
    const r = i * RECORD;
    const children = records[r + TO];
    records[r + SYM] = t.folded !== null && t.folded[i] ? -1 : t.sym[i];
    records[r + FROM] = records[r + TO] = at;
    records[r + NEXT] = -1;
    at += children;
  }
  const list = new Int32Array(Math.max(0, t.n - 1));
  for (let i = 1; i < t.n; i++) list[records[t.parent[i] * RECORD + TO]++] = i;
  return { records, list };
}

/* Puts a loose tree in order, level by level. A node collects the loose nodes that it stands for; their
 * children, merged by symbol and sorted, become the next nodes. Needs no hash table and no renumbering. */
class Arranger {
  n = 1;
  readonly parent: Int32Array;
  readonly sym: Int32Array;
  readonly depth: Int32Array;
  readonly childStart: Int32Array;
  readonly nodeOf: Int32Array; /* loose → node */
  private readonly total: Float64Array;
  private readonly first: Int32Array; /* node → the last loose node it has collected */

  constructor(
    private t: Loose,
    private looseTotal: Float64Array,
    private syms: number,
  ) {
    this.parent = new Int32Array(t.n);
    this.sym = new Int32Array(t.n);
    this.depth = new Int32Array(t.n);
    this.childStart = new Int32Array(t.n + 1);
    this.nodeOf = new Int32Array(t.n);
    this.total = new Float64Array(t.n);
    this.first = new Int32Array(t.n).fill(-1);
    this.first[0] = 0;
  }

  arrange(): void {
    const { first, nodeOf, looseTotal, total, parent, depth, sym, childStart } = this;
    const { records, list } = recordsOf(this.t);
    const seenIn = new Int32Array(this.syms).fill(-1);
    const nodeHere = new Int32Array(this.syms);
    let n = 1;
    for (let node = 0; node < n; node++) {
      const from = n;
      childStart[node] = from;
      for (let loose = first[node]; loose >= 0; loose = records[loose * RECORD + NEXT]) {
        nodeOf[loose] = node;
        const at = loose * RECORD;
        for (let c = records[at + FROM], end = records[at + TO]; c < end; c++) {
          const child = list[c];
          const r = child * RECORD;
          const symbol = records[r + SYM];
          if (symbol < 0) {
            records[r + NEXT] = records[at + NEXT]; /* its children are looked at next */
            records[at + NEXT] = child;
            continue;
          }
          if (seenIn[symbol] !== node) {
            seenIn[symbol] = node;
            nodeHere[symbol] = n;
            sym[n++] = symbol;
          }
          const into = nodeHere[symbol];
          records[r + NEXT] = first[into];
          first[into] = child;
          total[into] += looseTotal[child];
        }
      }
      if (n - from > 1) this.sort(from, n);
      for (let i = from; i < n; i++) {
        parent[i] = node;
        depth[i] = depth[node] + 1;
      }
    }
    childStart[n] = n;
    this.n = n;
  }

  /* The new nodes from `from` on, heaviest first. */
  private sort(from: number, to: number): void {
    const { sym, total, first } = this;
    const before = (totalA: number, symA: number, totalB: number, symB: number) => totalA > totalB || (totalA === totalB && symA < symB);
    if (to - from > 24) {
      const order = Array.from({ length: to - from }, (_, i) => from + i).sort((a, b) => total[b] - total[a] || sym[a] - sym[b]);
      const copy = order.map((i) => [sym[i], total[i], first[i]]);
      copy.forEach(([s, w, f], i) => {
        sym[from + i] = s;
        total[from + i] = w;
        first[from + i] = f;
      });
      return;
    }
    for (let i = from + 1; i < to; i++) {
      const [s, w, f] = [sym[i], total[i], first[i]];
      let j = i;
      for (; j > from && before(w, s, total[j - 1], sym[j - 1]); j--) {
        sym[j] = sym[j - 1];
        total[j] = total[j - 1];
        first[j] = first[j - 1];
      }
      sym[j] = s;
      total[j] = w;
      first[j] = f;
    }
  }
}

function looseTree(p: Profile, o: TreeOptions): { loose: Loose; cutAt: number } {
  const folded = foldedStacks(p, o.showInternal);
  if (!o.inverted && !o.byThread) {
    const sym = new Int32Array(p.stackParent.length);
    for (let s = 1; s < sym.length; s++) sym[s] = p.frameSym[p.stackFrame[s]];
    const n = Math.max(1, sym.length);
    return { loose: { n, parent: p.stackParent, sym, folded: o.showInternal ? null : folded, leaf: p.sampleStack }, cutAt: 0 };
  }
  const b = new Builder(4096);
  const [leaf, cutAt] = o.inverted ? leavesLeafFirst(p, b, folded, o.byThread) : [leavesByThread(p, b, folded), 0];
  return { loose: { n: b.n, parent: b.parent, sym: b.sym, folded: null, leaf }, cutAt };
}

function levelsOf(depth: Int32Array, n: number): Int32Array {
  const start = new Int32Array(depth[n - 1] + 2);
  for (let i = 1; i < n; i++) if (depth[i] !== depth[i - 1]) start[depth[i]] = i;
  start[start.length - 1] = n;
  return start;
}

export function buildTree(p: Profile, o: TreeOptions): Tree {
  const { loose, cutAt } = looseTree(p, o);
  const self = new Float64Array(loose.n);
  const values = p.sampleValues[o.valueType];
  for (let i = 0; i < loose.leaf.length; i++) self[loose.leaf[i]] += values ? Math.max(0, values[i]) : 1;
  const a = new Arranger(loose, addUp(loose.parent, loose.n, self), p.syms.length);
  a.arrange();
  const { n } = a;
  const leaf = new Int32Array(loose.leaf.length);
  for (let i = 0; i < leaf.length; i++) leaf[i] = a.nodeOf[loose.leaf[i]];
  const parent = a.parent.subarray(0, n);
  const levelStart = levelsOf(a.depth, n);
  const tree = {
    n, parent, leaf, cutAt, levelStart,
    levels: levelStart.length - 1,
    sym: a.sym.subarray(0, n),
    depth: a.depth.subarray(0, n),
    childStart: a.childStart.subarray(0, n + 1),
    preorder: preorderOf(parent, n).order,
  };
  return { ...tree, outer: outermost(tree, p.syms.length) };
}
