/* Search over function names, and how much of the profile runs through what was found. */
import type { Sym } from '../data/profile';
import type { Tree } from './tree';
import type { Weights } from './weights';

/* A regular expression, or plain text when it is not a valid one. "file:…" looks at files instead.
 * Capitals in the query make it case-sensitive. Null when there is nothing to look for. */
export function compile(query: string): ((s: Sym) => boolean) | null {
  const inFile = query.startsWith('file:');
  const text = inFile ? query.slice(5) : query;
  if (!text.trim()) return null;
  const flags = /[A-Z]/.test(text.replace(/\\./g, '')) ? 'u' : 'iu';
  let pattern: RegExp;
  try {
    pattern = new RegExp(text, flags);
  } catch {
    pattern = new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), flags);
  }
  return inFile ? (s) => pattern.test(s.file) || pattern.test(s.module) : (s) => pattern.test(s.name);
}

export interface Found {
  syms: Uint8Array; /* 1: this function matches */
  functions: number; /* how many functions of those that have any weight */
  weight: number; /* of all samples with at least one match in their stack */
  nodes: number[]; /* outermost matching boxes, heaviest first */
}

export function search(tree: Tree, w: Weights, syms: Sym[], matches: (s: Sym) => boolean): Found {
  const hit = new Uint8Array(syms.length);
  for (let s = 1; s < syms.length; s++) hit[s] = matches(syms[s]) ? 1 : 0;
  const covered = new Uint8Array(tree.n);
  const seen = new Uint8Array(syms.length);
  const nodes: number[] = [];
  let weight = 0;
  let functions = 0;
  for (let i = 1; i < tree.n; i++) {
    const sym = tree.sym[i];
    if (hit[sym] && !seen[sym] && w.total[i] > 0) {
      seen[sym] = 1;
      functions++;
    }
    if (covered[tree.parent[i]]) covered[i] = 1;
    else if (hit[sym] && w.total[i] > 0) {
      covered[i] = 1;
      weight += w.total[i];
      nodes.push(i);
    }
  }
  nodes.sort((a, b) => w.total[b] - w.total[a] || a - b);
  return { syms: hit, functions, weight, nodes };
}
