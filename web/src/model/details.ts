/* What is known about one function, over all the places where it is called. */
import type { Profile } from '../data/profile';
import { addUp, preorderOf, type Tree } from './tree';
import type { Weights } from './weights';

export interface Edge {
  sym: number; /* 0: none, the function is where a thread starts */
  weight: number;
}

export interface Line {
  line: number; /* 0: unknown */
  self: number;
  total: number;
}

const heaviest = (a: { weight: number; sym: number }, b: { weight: number; sym: number }) =>
  b.weight - a.weight || a.sym - b.sym;

/* Direct callers and callees. A sample counts once for each of them, however often the call is in
 * its stack. One walk, depth first; the counters say which calls the current path already holds. */
export function neighbours(tree: Tree, w: Weights, sym: number, syms: number): { callers: Edge[]; callees: Edge[] } {
  const callers = new Float64Array(syms);
  const callees = new Float64Array(syms);
  const activeCaller = new Int32Array(syms);
  const activeCallee = new Int32Array(syms);
  const path = new Int32Array(tree.levels + 1);
  let length = 0;
  for (let i = 0; i < tree.n; i++) {
    const node = tree.preorder[i];
    while (length > tree.depth[node]) {
      const gone = path[--length];
      const over = length ? path[length - 1] : -1;
      if (gone === sym && over >= 0) activeCaller[over]--;
      if (over === sym) activeCallee[gone]--;
    }
    const here = tree.sym[node];
    const over = length ? path[length - 1] : -1;
    if (here === sym && over >= 0 && activeCaller[over]++ === 0) callers[over] += w.total[node];
    if (over === sym && activeCallee[here]++ === 0) callees[here] += w.total[node];
    path[length++] = here;
  }
  const edges = (weights: Float64Array): Edge[] => {
    const list: Edge[] = [];
    for (let s = 0; s < syms; s++) if (weights[s] > 0) list.push({ sym: s, weight: weights[s] });
    return list.sort(heaviest);
  };
  return { callers: edges(callers), callees: edges(callees) };
}

/* Weights of the raw stacks, which still know their lines. */
export class RawStacks {
  private order: Int32Array;
  private size: Int32Array;
  constructor(private p: Profile) {
    ({ order: this.order, size: this.size } = preorderOf(p.stackParent, p.stackParent.length));
  }

  weigh(values: Float64Array | null, pass: Uint8Array | null): { self: Float64Array; total: Float64Array } {
    const { sampleStack, stackParent } = this.p;
    const self = new Float64Array(stackParent.length);
    for (let i = 0; i < sampleStack.length; i++)
      if (pass === null || pass[i]) self[sampleStack[i]] += values === null ? 1 : values[i] > 0 ? values[i] : 0;
    return { self, total: addUp(stackParent, stackParent.length, self) };
  }

  /* Lines of one function, each counted once in a stack. Folded interpreter frames below it count as
   * the function's own time, as they do in its box. */
  lines(sym: number, w: { self: Float64Array; total: Float64Array }, isFolded: (stack: number) => boolean): Line[] {
    const { stackFrame, frameSym, frameLine, stackParent } = this.p;
    const lines = new Map<number, Line & { active: number }>();
    const open: { end: number; line: Line & { active: number } }[] = [];
    const owner = new Int32Array(stackParent.length); /* the nearest stack that is shown */
    for (let at = 1; at < this.order.length; at++) {
      const stack = this.order[at];
      while (open.length && open[open.length - 1].end <= at) open.pop()!.line.active--;
      const folded = isFolded(stack);
      owner[stack] = folded ? owner[stackParent[stack]] : stack;
      const own = owner[stack];
      if (!own || frameSym[stackFrame[own]] !== sym) continue;
      const number = frameLine[stackFrame[own]];
      let line = lines.get(number);
      if (!line) lines.set(number, (line = { line: number, self: 0, total: 0, active: 0 }));
      line.self += w.self[stack];
      if (folded) continue;
      if (line.active++ === 0) line.total += w.total[stack];
      open.push({ end: at + this.size[stack], line });
    }
    return [...lines.values()]
      .filter((l) => l.total > 0)
      .map(({ line, self, total }) => ({ line, self, total }))
      .sort((a, b) => a.line - b.line);
  }
}
