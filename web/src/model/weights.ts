/* Weights of a tree's nodes and of functions, for the samples that a filter lets through. */
import type { Profile } from '../data/profile';
import { addUp, type Tree } from './tree';

export interface Filter {
  from: number; /* in units of sampleTime, inclusive */
  to: number; /* exclusive */
  threads: ReadonlySet<number> | null; /* null: all */
}

export const everything: Filter = { from: -Infinity, to: Infinity, threads: null };

export interface Weights {
  self: Float64Array;
  total: Float64Array;
  x: Float64Array; /* where a node begins, from the left; the root is 0 … total[0] */
}

/* 1 for each sample that passes, or null when all do. */
export function passing(p: Profile, f: Filter): Uint8Array | null {
  if (f.threads === null && f.from === -Infinity && f.to === Infinity) return null;
  const wanted = new Uint8Array(p.threads.length).fill(f.threads ? 0 : 1);
  f.threads?.forEach((t) => (wanted[t] = 1));
  const pass = new Uint8Array(p.sampleStack.length);
  for (let i = 0; i < pass.length; i++) {
    const t = p.sampleTime[i];
    pass[i] = t >= f.from && t < f.to ? wanted[p.sampleThread[i]] : 0;
  }
  return pass;
}

/* Negative values, as a difference of two profiles has them, count as nothing. */
export function weigh(tree: Tree, values: Float64Array | null, pass: Uint8Array | null): Weights {
  const self = new Float64Array(tree.n);
  const { leaf } = tree;
  for (let i = 0; i < leaf.length; i++)
    if (pass === null || pass[i]) self[leaf[i]] += values === null ? 1 : values[i] > 0 ? values[i] : 0;
  const total = addUp(tree.parent, tree.n, self);
  const x = new Float64Array(tree.n);
  const { childStart } = tree;
  for (let i = 0; i < tree.n; i++) {
    let at = x[i];
    for (let c = childStart[i], end = childStart[i + 1]; c < end; c++) {
      x[c] = at;
      at += total[c];
    }
  }
  return { self, total, x };
}

export interface SymWeights {
  self: Float64Array;
  total: Float64Array; /* counted once in a stack, however often the function is in it */
}

export function weighSyms(tree: Tree, w: Weights, syms: number): SymWeights {
  const self = new Float64Array(syms);
  const total = new Float64Array(syms);
  for (let i = 0; i < tree.n; i++) {
    const sym = tree.sym[i];
    self[sym] += w.self[i];
    if (tree.outer[i]) total[sym] += w.total[i];
  }
  return { self, total };
}
