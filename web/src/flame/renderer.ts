/* Draws a flame graph on a canvas that is never larger than the window: rows and boxes outside it are
 * found by binary search and not touched, and runs of boxes thinner than a pixel become one. */
import { APPROXIMATE, INLINED, type Sym } from '../data/profile';
import type { Tree } from '../model/tree';
import type { Weights } from '../model/weights';
import { SHADES, isOdd, type Colours, type Kind } from './palette';

export const ROW = 19;
const THIN = 1; /* px: boxes below this join a run */
const RUN_MAX = 6; /* px: so that a run's colour speaks for its place */
const LABEL_MIN = 26; /* px: a narrower box gets no label */
const LETTER_MIN = 84; /* px: a narrower box does not show its kind's letter */
const PAD = 4;

export interface Scene {
  tree: Tree;
  weights: Weights;
  syms: Sym[];
  kinds: Kind[];
  kindOf: Uint8Array;
  shadeOf: Uint8Array;
  colours: Colours;
  matches: Uint8Array | null; /* by symbol */
  selected: number; /* symbol whose boxes are outlined, or 0 */
  rootAtTop: boolean;
}

export interface Window {
  from: number; /* in weight, from the left */
  to: number;
  scroll: number; /* px from the top of all rows */
  width: number;
  height: number;
}

export function contentHeight(levels: number, height: number): number {
  return Math.max(levels * ROW, height);
}

export function rowTop(depth: number, s: Scene, w: Window): number {
  return s.rootAtTop ? depth * ROW - w.scroll : contentHeight(s.tree.levels, w.height) - (depth + 1) * ROW - w.scroll;
}

function depthAt(y: number, s: Scene, w: Window): number {
  return Math.floor((s.rootAtTop ? y + w.scroll : contentHeight(s.tree.levels, w.height) - w.scroll - y - 0.001) / ROW);
}

/* The first node of a level that ends right of `at`; the level's end when there is none. */
export function firstEndingAfter(tree: Tree, w: Weights, depth: number, at: number): number {
  let low = tree.levelStart[depth];
  let high = tree.levelStart[depth + 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (w.x[middle] + w.total[middle] > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/* The first node of low … high - 1 that begins at or after `at`. */
function firstBeginningAt(x: Float64Array, low: number, high: number, at: number): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x[middle] >= at) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function hit(s: Scene, w: Window, px: number, py: number): number {
  const depth = depthAt(py, s, w);
  if (depth < 0 || depth >= s.tree.levels) return -1;
  const at = w.from + (px / w.width) * (w.to - w.from);
  const node = firstEndingAfter(s.tree, s.weights, depth, at);
  return node < s.tree.levelStart[depth + 1] && s.weights.x[node] <= at ? node : -1;
}

export function boxOf(s: Scene, w: Window, node: number): { x: number; y: number; width: number } {
  const scale = w.width / (w.to - w.from);
  const left = Math.max(0, (s.weights.x[node] - w.from) * scale);
  const right = Math.min(w.width, (s.weights.x[node] + s.weights.total[node] - w.from) * scale);
  return { x: left, y: rowTop(s.tree.depth[node], s, w), width: Math.max(1, right - left) };
}

/* Rectangles collected by colour, so that the colour changes as rarely as possible. */
class Batches {
  private n = 0;
  private x = new Float32Array(4096);
  private y = new Float32Array(4096);
  private w = new Float32Array(4096);
  private next = new Int32Array(4096);
  private head = new Int32Array(0);

  begin(colours: number): void {
    this.n = 0;
    if (this.head.length !== colours) this.head = new Int32Array(colours);
    this.head.fill(-1);
  }

  add(colour: number, x: number, y: number, w: number): void {
    if (this.n === this.x.length) {
      const grow = <T extends Float32Array | Int32Array>(a: T, b: T): T => (b.set(a), b);
      this.x = grow(this.x, new Float32Array(this.n * 2));
      this.y = grow(this.y, new Float32Array(this.n * 2));
      this.w = grow(this.w, new Float32Array(this.n * 2));
      this.next = grow(this.next, new Int32Array(this.n * 2));
    }
    const i = this.n++;
    this.x[i] = x;
    this.y[i] = y;
    this.w[i] = w;
    this.next[i] = this.head[colour];
    this.head[colour] = i;
  }

  draw(ctx: CanvasRenderingContext2D, fill: (colour: number) => string | CanvasPattern, height: number): void {
    for (let c = 0; c < this.head.length; c++) {
      if (this.head[c] < 0) continue;
      ctx.fillStyle = fill(c);
      for (let i = this.head[c]; i >= 0; i = this.next[i]) ctx.fillRect(this.x[i], this.y[i], this.w[i], height);
    }
  }
}

interface Label {
  node: number;
  x: number;
  y: number;
  width: number;
  match: boolean;
}

/* How wide text is, from the widths of its characters: measuring every label would cost more than drawing it. */
class Ruler {
  private known = new Map<string, number>();
  constructor(private ctx: CanvasRenderingContext2D) {}

  private widthOf(c: string): number {
    let w = this.known.get(c);
    if (w === undefined) this.known.set(c, (w = this.ctx.measureText(c).width));
    return w;
  }

  /* As much of the text as fits, with an ellipsis when something is missing; '' when nothing useful does. */
  fit(text: string, room: number): string {
    const dots = this.widthOf('\u2026');
    let used = 0;
    let fits = 0; /* UTF-16 units that fit together with an ellipsis */
    for (const c of text) {
      used += this.widthOf(c);
      if (used + dots <= room) fits += c.length;
      else if (used > room) return fits >= 2 ? text.slice(0, fits) + '\u2026' : '';
    }
    return text;
  }
}

export class Renderer {
  private batches = new Batches();
  private labels: Label[] = [];
  private outlines: Label[] = [];
  private odd: Label[] = [];
  private ruler: Ruler | null = null;
  private pattern: { of: Colours; fill: CanvasPattern | string } | null = null;

  constructor(private ctx: CanvasRenderingContext2D) {}

  draw(s: Scene, w: Window, dpr: number): void {
    const { ctx } = this;
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.fillStyle = s.colours.background;
    ctx.fillRect(0, 0, w.width, w.height);
    const normal = s.kinds.length * SHADES;
    this.batches.begin(2 * normal + 3);
    this.labels.length = this.outlines.length = this.odd.length = 0;
    const a = depthAt(0, s, w);
    const b = depthAt(w.height, s, w);
    const first = Math.max(0, Math.min(a, b));
    const last = Math.min(s.tree.levels - 1, Math.max(a, b));
    for (let depth = first; depth <= last; depth++) this.row(s, w, depth, dpr);
    const { fill, faint, match, root } = s.colours;
    this.batches.draw(ctx, (c) => (c < normal ? fill[c] : c < 2 * normal ? faint[c - normal] : c === 2 * normal ? match : c === 2 * normal + 1 ? root : this.stripes(s)), ROW - 1);
    this.drawOdd(s);
    this.drawLabels(s);
    this.drawOutlines(s);
  }

  /* Laid over runs, so that many small boxes do not look like one large one. */
  private stripes(s: Scene): CanvasPattern | string {
    if (this.pattern?.of === s.colours) return this.pattern.fill;
    const tile = document.createElement('canvas');
    tile.width = 3;
    tile.height = 1;
    const t = tile.getContext('2d')!;
    t.fillStyle = s.colours.background;
    t.globalAlpha = 0.5;
    t.fillRect(2, 0, 1, 1);
    this.pattern = { of: s.colours, fill: this.ctx.createPattern(tile, 'repeat') ?? 'transparent' };
    return this.pattern.fill;
  }

  private colourOf(s: Scene, node: number, plain = false): number {
    const normal = s.kinds.length * SHADES;
    const sym = s.tree.sym[node];
    if (node === 0) return 2 * normal + 1;
    if (!plain && s.matches?.[sym]) return 2 * normal;
    return (s.matches ? normal : 0) + s.kindOf[sym] * SHADES + s.shadeOf[sym];
  }

  private row(s: Scene, w: Window, depth: number, dpr: number): void {
    const { tree, weights, matches } = s;
    const { x, total } = weights;
    const scale = w.width / (w.to - w.from);
    const y = rowTop(depth, s, w);
    const end = tree.levelStart[depth + 1];
    const snap = (v: number) => Math.round(v * dpr) / dpr;
    const stripes = 2 * s.kinds.length * SHADES + 2;
    let runFrom = -1; /* a run of thin boxes, in px */
    let runTo = -1;
    let runMatch = false;
    let runNode = -1; /* its widest, which gives the colour */
    const flush = () => {
      if (runNode < 0) return;
      const width = Math.max(1 / dpr, snap(runTo) - snap(runFrom));
      this.batches.add(runMatch ? stripes - 2 : this.colourOf(s, runNode, true), snap(runFrom), y, width);
      if (width > 1.5) this.batches.add(stripes, snap(runFrom), y, width);
      runNode = -1;
    };
    for (let i = firstEndingAfter(tree, weights, depth, w.from); i < end && x[i] < w.to; i++) {
      if (total[i] <= 0) continue;
      const left = (x[i] - w.from) * scale;
      const right = left + total[i] * scale;
      if (right - left >= THIN) {
        flush();
        this.box(s, i, Math.max(left, -1), y, Math.min(right, w.width + 1), snap);
        continue;
      }
      const isMatch = matches !== null && matches[tree.sym[i]] === 1;
      if (runNode >= 0 && (left - runTo > 0.5 || right - runFrom > RUN_MAX || (isMatch !== runMatch && right - runFrom > 1))) flush();
      if (runNode < 0) {
        runFrom = left;
        runNode = i;
        runMatch = isMatch;
      } else if (total[i] > total[runNode]) runNode = i;
      runMatch ||= isMatch; /* one match makes its pixel one */
      runTo = right;
      if (matches !== null || right - left >= 0.25) continue;
      /* jump over what begins within this pixel; the last of it may reach further and is looked at itself */
      const next = firstBeginningAt(x, i + 1, end, w.from + (Math.floor(left) + 1) / scale);
      if (next > i + 2) {
        runTo = Math.max(runTo, (x[next - 1] - w.from) * scale);
        i = next - 2;
      }
    }
    flush();
  }

  private box(s: Scene, node: number, left: number, y: number, right: number, snap: (v: number) => number): void {
    const sym = s.tree.sym[node];
    const from = snap(left);
    const to = snap(right);
    const width = Math.max(0.5, to - from - (to - from > 3 ? 1 : to - from > 1.5 ? 0.5 : 0));
    this.batches.add(this.colourOf(s, node), from, y, width);
    const visible = Math.min(to, 1e9) - Math.max(from, 0);
    const label = { node, x: Math.max(from, 0), y, width: visible, match: s.matches?.[sym] === 1 };
    if (visible >= LABEL_MIN) this.labels.push(label);
    if (sym === s.selected && node !== 0) this.outlines.push(label);
    if (visible >= 3 && isOdd(s.syms[sym].flags)) this.odd.push(label);
  }

  /* Boxes that are not a named function: dashed along the bottom. */
  private drawOdd(s: Scene): void {
    const { ctx } = this;
    if (!this.odd.length) return;
    ctx.strokeStyle = s.colours.text;
    ctx.globalAlpha = 0.55;
    ctx.lineWidth = 1;
    ctx.setLineDash([3, 2]);
    ctx.beginPath();
    for (const l of this.odd) {
      ctx.moveTo(l.x + 0.5, l.y + ROW - 2.5);
      ctx.lineTo(l.x + l.width - 1.5, l.y + ROW - 2.5);
    }
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  private drawLabels(s: Scene): void {
    const { ctx } = this;
    const family = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';
    ctx.font = `12px ${family}`;
    ctx.textBaseline = 'middle';
    ctx.direction = 'ltr';
    this.ruler ??= new Ruler(ctx);
    for (const l of this.labels) {
      const sym = s.tree.sym[l.node];
      const letter = l.node !== 0 && l.width >= LETTER_MIN ? s.kinds[s.kindOf[sym]].letter : '';
      const indent = PAD + (letter ? 12 : 0);
      const text = this.ruler.fit(labelOf(s.syms[sym]), l.width - indent - PAD);
      ctx.fillStyle = l.match ? s.colours.matchText : s.matches ? s.colours.faintText : s.colours.text;
      if (text) ctx.fillText(text, l.x + indent, l.y + ROW / 2);
      if (l.match && text) ctx.fillText(text, l.x + indent + 0.4, l.y + ROW / 2); /* bolder */
    }
    ctx.font = `600 9px ${family}`;
    ctx.globalAlpha = 0.6;
    for (const l of this.labels) {
      if (l.node === 0 || l.width < LETTER_MIN) continue;
      ctx.fillStyle = l.match ? s.colours.matchText : s.matches ? s.colours.faintText : s.colours.text;
      ctx.fillText(s.kinds[s.kindOf[s.tree.sym[l.node]]].letter, l.x + PAD, l.y + ROW / 2 + 0.5);
    }
    ctx.globalAlpha = 1;
  }

  private drawOutlines(s: Scene): void {
    const { ctx } = this;
    ctx.strokeStyle = s.colours.line;
    ctx.lineWidth = 1.5;
    for (const l of this.outlines) if (l.width >= 2) ctx.strokeRect(l.x + 0.75, l.y + 0.75, l.width - 2.5, ROW - 2.5);
  }
}

/* The name, with what is special about the frame in words. */
export function labelOf(s: Sym): string {
  const inlined = s.flags & INLINED ? ' (inlined)' : '';
  return (s.flags & APPROXIMATE ? '~ ' : '') + (s.name.length > 600 ? s.name.slice(0, 600) : s.name) + inlined;
}
