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

function leavesRootFirst(p: Profile, b: Builder, folded: Uint8Array, byThread: boolean): Int32Array {
  const leaf = new Int32Array(p.sampleStack.length);
  if (!byThread) {
    const nodes = new Int32Array(p.stackParent.length);
    for (let s = 1; s < nodes.length; s++) {
      const parent = nodes[p.stackParent[s]];
      nodes[s] = folded[s] ? parent : b.child(parent, p.frameSym[p.stackFrame[s]]);
    }
    for (let i = 0; i < leaf.length; i++) leaf[i] = nodes[p.sampleStack[i]];
    return leaf;
  }
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

/* Children of every node as one array of ranges, heaviest first. */
function childrenInOrder(b: Builder, total: Float64Array): { start: Int32Array; list: Int32Array } {
  const { n, parent, sym } = b;
  const start = new Int32Array(n + 1);
  for (let i = 1; i < n; i++) start[parent[i] + 1]++;
  for (let i = 0; i < n; i++) start[i + 1] += start[i];
  const next = start.slice(0, n);
  const list = new Int32Array(Math.max(0, n - 1));
  for (let i = 1; i < n; i++) list[next[parent[i]]++] = i;
  const before = (x: number, y: number) => total[y] - total[x] || sym[x] - sym[y];
  for (let p = 0; p < n; p++) {
    const from = start[p];
    const to = start[p + 1];
    if (to - from > 24) list.set(Array.from(list.subarray(from, to)).sort(before), from);
    else
      for (let i = from + 1; i < to; i++) {
        const node = list[i];
        let j = i;
        for (; j > from && before(node, list[j - 1]) < 0; j--) list[j] = list[j - 1];
        list[j] = node;
      }
  }
  return { start, list };
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

function number(b: Builder, total: Float64Array) {
  const { n } = b;
  const { start, list } = childrenInOrder(b, total);
  const order = new Int32Array(n); /* new number → old */
  const renamed = new Int32Array(n); /* old → new */
  const parent = new Int32Array(n);
  const sym = new Int32Array(n);
  const depth = new Int32Array(n);
  const childStart = new Int32Array(n + 1);
  const levelStart: number[] = [0];
  let filled = 1;
  for (let i = 0; i < n; i++) {
    const old = order[i];
    sym[i] = b.sym[old];
    if (i > 0) {
      parent[i] = renamed[b.parent[old]];
      depth[i] = depth[parent[i]] + 1;
      if (depth[i] !== depth[i - 1]) levelStart.push(i);
    }
    childStart[i] = filled;
    for (let c = start[old]; c < start[old + 1]; c++) {
      renamed[list[c]] = filled;
      order[filled++] = list[c];
    }
  }
  childStart[n] = n;
  const levels = levelStart.length;
  levelStart.push(n);
  return { renamed, n, levels, parent, sym, depth, childStart, levelStart: Int32Array.from(levelStart) };
}

export function buildTree(p: Profile, o: TreeOptions): Tree {
  const b = new Builder(o.inverted || o.byThread ? 4096 : p.stackParent.length);
  const folded = foldedStacks(p, o.showInternal);
  let cutAt = 0;
  let leaf: Int32Array;
  if (o.inverted) [leaf, cutAt] = leavesLeafFirst(p, b, folded, o.byThread);
  else leaf = leavesRootFirst(p, b, folded, o.byThread);

  const self = new Float64Array(b.n);
  const values = p.sampleValues[o.valueType];
  for (let i = 0; i < leaf.length; i++) self[leaf[i]] += values ? Math.max(0, values[i]) : 1;
  const { renamed, ...rest } = number(b, addUp(b.parent, b.n, self));
  for (let i = 0; i < leaf.length; i++) leaf[i] = renamed[leaf[i]];
  const tree = { ...rest, leaf, cutAt, preorder: preorderOf(rest.parent, rest.n).order };
  return { ...tree, outer: outermost(tree, p.syms.length) };
}
