/* Colours by kind of code. Each kind also has a letter, so that colour is never the only sign. */
import { MARK, UNNAMED, type Profile } from '../data/profile';

export const SHADES = 6;

export interface Kind {
  name: string;
  letter: string;
  hue: number;
  saturation: number;
}

/* Hue and saturation. A map: the name of a kind comes from a file. */
const FIXED = new Map<string, [number, number]>([
  ['native', [212, 52]],
  ['kernel', [8, 62]],
  ['python', [44, 78]],
  ['thread', [220, 6]],
  ['unknown', [220, 4]],
]);
const FREE_HUES = [158, 282, 328, 92, 186, 256];

function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  return (h ^ (h >>> 7)) >>> 0;
}

function letterOf(name: string, taken: Set<string>): string {
  for (const c of name.toUpperCase() + 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')
    if (/[A-Z]/.test(c) && !taken.has(c)) {
      taken.add(c);
      return c;
    }
  return '*';
}

export function kindsOf(p: Profile): { kinds: Kind[]; kindOf: Uint8Array; shadeOf: Uint8Array } {
  const kinds: Kind[] = [];
  const index = new Map<string, number>();
  const letters = new Set<string>();
  const add = (name: string) => {
    let i = index.get(name);
    if (i === undefined) {
      const [hue, saturation] = FIXED.get(name) ?? [FREE_HUES[hash(name) % FREE_HUES.length], 45];
      i = kinds.length < 40 ? kinds.length : 0;
      if (i === kinds.length) kinds.push({ name, letter: letterOf(name, letters), hue, saturation });
      index.set(name, i);
    }
    return i;
  };
  const used = new Set(p.syms.map((s) => s.kind));
  for (const name of ['native', 'kernel', 'python']) if (used.has(name)) add(name); /* first choice of letters */
  const kindOf = new Uint8Array(p.syms.length);
  const shadeOf = new Uint8Array(p.syms.length);
  p.syms.forEach((s, i) => {
    kindOf[i] = add(s.kind || 'unknown');
    shadeOf[i] = hash(s.module + '\n' + s.name) % SHADES;
  });
  return { kinds, kindOf, shadeOf };
}

export interface Colours {
  fill: string[]; /* kind * SHADES + shade */
  faint: string[]; /* the same, for boxes that a search passes over */
  match: string;
  root: string;
  text: string;
  faintText: string;
  matchText: string;
  line: string;
  background: string;
}

export function fillOf(k: Kind, shade: number, dark: boolean): string {
  const step = shade - (SHADES - 1) / 2;
  const hue = k.hue + step * (dark ? 1.4 : 2.4);
  return dark
    ? `hsl(${hue} ${k.saturation * 0.66}% ${33 + step * 1.4}%)`
    : `hsl(${hue} ${k.saturation}% ${79 + step * 1.5}%)`;
}

function faintOf(k: Kind, shade: number, dark: boolean): string {
  const step = shade - (SHADES - 1) / 2;
  return dark ? `hsl(${k.hue} ${k.saturation * 0.16}% ${20 + step * 0.7}%)` : `hsl(${k.hue} ${k.saturation * 0.25}% ${92 + step * 0.7}%)`;
}

export function coloursFor(kinds: Kind[], dark: boolean): Colours {
  const fill: string[] = [];
  const faint: string[] = [];
  for (const k of kinds)
    for (let s = 0; s < SHADES; s++) {
      fill.push(fillOf(k, s, dark));
      faint.push(faintOf(k, s, dark));
    }
  return dark
    ? { fill, faint, match: '#8e4ec6', root: '#3a3f47', text: '#f1f3f5', faintText: '#8b929c', matchText: '#ffffff', line: '#e6e9ee', background: '#15181c' }
    : { fill, faint, match: '#d9a8f2', root: '#dfe3e8', text: '#16191d', faintText: '#6a727c', matchText: '#2b0a40', line: '#1d2126', background: '#ffffff' };
}

export function isOdd(flags: number): boolean {
  return (flags & (UNNAMED | MARK)) !== 0;
}
