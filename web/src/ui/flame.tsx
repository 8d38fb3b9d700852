/* The flame graph: canvas for the eyes, a tree of elements for screen readers, one focus for both. */
import { signal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { INLINED } from '../data/profile';
import { ROW, Renderer, boxOf, contentHeight, hit, labelOf, rowTop, type Scene, type Window } from '../flame/renderer';
import { percent, value } from '../model/format';
import type { State } from '../state';
import { place } from './badge';
import { detailsWhole } from './functions';
import { helpOpen } from './help';

const ANIMATION_MS = 160;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

interface Pointed {
  node: number;
  x: number;
  y: number;
}

/* The part that is not markup: what is on the canvas, and how it got there. */
class View {
  from = 0; /* the visible part of the whole width, 0 … 1, so that a change of filter keeps its sense */
  to = 1;
  private width = 0;
  private height = 0;
  private dpr = 1;
  private frame = 0;
  private animation: { from: number; to: number; toFrom: number; toTo: number; start: number } | null = null;
  private renderer: Renderer;
  hovered = -1;

  constructor(
    private s: State,
    private scroller: HTMLElement,
    private spacer: HTMLElement,
    private canvas: HTMLCanvasElement,
    private over: HTMLCanvasElement,
  ) {
    this.renderer = new Renderer(canvas.getContext('2d', { alpha: false })!);
  }

  scene(): Scene {
    const { s } = this;
    return {
      tree: s.tree.peek(), weights: s.weights.peek(), syms: s.p.syms, kinds: s.kinds.kinds, kindOf: s.kinds.kindOf, shadeOf: s.kinds.shadeOf,
      colours: s.colours.peek(), matches: s.found.peek()?.syms ?? null, selected: s.selected.peek(), rootAtTop: s.rootAtTop.peek(),
    };
  }

  window(): Window {
    const total = this.s.weights.peek().total[0] || 1;
    return { from: this.from * total, to: this.to * total, scroll: this.scroller.scrollTop, width: this.width, height: this.height };
  }

  resize(): void {
    const { clientWidth: w, clientHeight: h } = this.scroller;
    const dpr = devicePixelRatio || 1;
    if (w === this.width && h === this.height && dpr === this.dpr) return;
    const bottom = this.scroller.scrollHeight - this.scroller.scrollTop - this.height;
    this.width = w;
    this.height = h;
    this.dpr = dpr;
    for (const c of [this.canvas, this.over]) {
      c.width = Math.round(w * dpr);
      c.height = Math.round(h * dpr);
      c.style.width = `${w}px`;
      c.style.height = `${h}px`;
    }
    this.layout();
    if (!this.s.rootAtTop.peek()) this.scroller.scrollTop = this.scroller.scrollHeight - h - bottom;
    this.drawNow();
  }

  layout(): void {
    this.spacer.style.height = `${contentHeight(this.s.tree.peek().levels, this.height)}px`;
  }

  draw(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.drawNow());
  }

  private drawNow(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!this.width || !this.height) return;
    if (this.animation) this.advance();
    const began = performance.now();
    this.renderer.draw(this.scene(), this.window(), this.dpr);
    this.drawOver();
    performance.measure('scry:draw', { start: began });
  }

  /* Hover and focus, which change often, on a canvas of their own. */
  drawOver(): void {
    const ctx = this.over.getContext('2d')!;
    ctx.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    const s = this.scene();
    const w = this.window();
    const frame = (node: number, thick: number, dash: number[]) => {
      if (node < 0 || node >= s.tree.n) return;
      const b = boxOf(s, w, node);
      ctx.lineWidth = thick;
      ctx.setLineDash(dash);
      ctx.strokeStyle = s.colours.line;
      ctx.strokeRect(b.x + thick / 2, b.y + thick / 2, Math.max(1, b.width - 1 - thick), ROW - 1 - thick);
    };
    if (this.hovered >= 0) {
      const b = boxOf(s, w, this.hovered);
      ctx.fillStyle = this.s.dark.peek() ? 'rgb(255 255 255 / 12%)' : 'rgb(0 0 0 / 9%)';
      ctx.fillRect(b.x, b.y, Math.max(1, b.width - 1), ROW - 1);
    }
    const focused = document.activeElement === this.scroller;
    if (this.s.focus.peek() || focused) frame(this.s.focus.peek(), 2, focused ? [] : [3, 2]);
  }

  private advance(): void {
    const a = this.animation!;
    const t = Math.min(1, (performance.now() - a.start) / ANIMATION_MS);
    const ease = 1 - (1 - t) ** 3;
    this.from = a.from + (a.toFrom - a.from) * ease;
    this.to = a.to + (a.toTo - a.to) * ease;
    if (t < 1) this.draw();
    else this.animation = null;
  }

  show(from: number, to: number, animate: boolean): void {
    if (!animate || calm.matches) {
      this.animation = null;
      this.from = from;
      this.to = to;
    } else this.animation = { from: this.from, to: this.to, toFrom: from, toTo: to, start: performance.now() };
    this.draw();
  }

  /* The zoomed box over the whole width. */
  showZoom(animate: boolean): void {
    const w = this.s.weights.peek();
    const node = this.s.zoom.peek();
    const total = w.total[0] || 1;
    if (w.total[node] > 0) this.show(w.x[node] / total, (w.x[node] + w.total[node]) / total, animate);
    else this.show(0, 1, animate);
  }

  zoomAt(px: number, factor: number): void {
    const at = this.from + (px / this.width) * (this.to - this.from);
    const span = Math.min(1, Math.max(1e-9, (this.to - this.from) * factor));
    const from = Math.min(1 - span, Math.max(0, at - (px / this.width) * span));
    this.show(from, from + span, false);
  }

  pan(px: number): void {
    const span = this.to - this.from;
    const from = Math.min(1 - span, Math.max(0, this.from + (px / this.width) * span));
    this.show(from, from + span, false);
  }

  get middle(): number {
    return this.width / 2;
  }

  nodeAt(e: MouseEvent): number {
    const r = this.canvas.getBoundingClientRect();
    return hit(this.scene(), this.window(), e.clientX - r.left, e.clientY - r.top);
  }

  /* Scrolls, and moves sideways, until the box is in sight. */
  reveal(node: number): void {
    const s = this.scene();
    const w = this.window();
    const y = rowTop(s.tree.depth[node], s, w);
    const margin = Math.min(2 * ROW, w.height / 4);
    if (y < margin) this.scroller.scrollTop += y - margin;
    else if (y + ROW > w.height - margin) this.scroller.scrollTop += y + ROW - w.height + margin;
    const total = s.weights.total[0] || 1;
    const from = s.weights.x[node] / total;
    const to = from + s.weights.total[node] / total;
    const wide = (to - from) / (this.to - this.from);
    if (from >= this.to || to <= this.from) {
      const span = Math.max(this.to - this.from, to - from);
      const start = Math.min(1 - span, Math.max(0, (from + to) / 2 - span / 2));
      this.show(start, start + span, true);
    } else if (wide * this.width < 3 && to - from > 0) {
      const span = Math.min(1, (to - from) * 12);
      const start = Math.min(1 - span, Math.max(0, (from + to) / 2 - span / 2));
      this.show(start, start + span, true);
    }
  }
}

const pointed = signal<Pointed | null>(null);

export function Flame({ s }: { s: State }) {
  const scroller = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const view = useRef<View | null>(null);

  useEffect(() => {
    const v = new View(s, scroller.current!, spacer.current!, canvas.current!, over.current!);
    view.current = v;
    const observer = new ResizeObserver(() => v.resize());
    observer.observe(scroller.current!);
    v.resize();
    v.showZoom(false);
    const wheel = (e: WheelEvent) => {
      const sideways = Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : e.shiftKey ? e.deltaY : 0;
      if (e.ctrlKey || e.metaKey) v.zoomAt(e.offsetX, Math.exp(Math.max(-60, Math.min(60, e.deltaY)) * 0.008));
      else if (sideways) v.pan(sideways);
      else return;
      e.preventDefault();
    };
    scroller.current!.addEventListener('wheel', wheel, { passive: false });
    return () => observer.disconnect();
  }, []);

  /* Where the root is, and which tree: from its root again. */
  useSignalEffect(() => {
    const top = s.rootAtTop.value;
    void s.tree.value;
    const v = view.current;
    if (!v) return;
    v.layout();
    scroller.current!.scrollTop = top ? 0 : scroller.current!.scrollHeight;
    v.draw();
  });
  useSignalEffect(() => {
    void s.reset.value;
    void s.weights.value;
    view.current?.showZoom(true);
    if (s.zoom.peek()) view.current?.reveal(s.zoom.peek());
  });
  useSignalEffect(() => {
    void [s.colours.value, s.found.value, s.selected.value];
    view.current?.draw();
  });
  useSignalEffect(() => {
    const node = s.focus.value;
    if (node) view.current?.reveal(node);
    view.current?.drawOver();
  });

  const hover = (e: PointerEvent) => {
    const v = view.current!;
    const node = v.nodeAt(e);
    if (node !== v.hovered) {
      v.hovered = node;
      v.drawOver();
    }
    canvas.current!.style.cursor = node >= 0 ? 'pointer' : 'default';
    pointed.value = node >= 0 ? { node, x: e.clientX, y: e.clientY } : null;
  };
  const leave = () => {
    pointed.value = null;
    const v = view.current!;
    v.hovered = -1;
    v.drawOver();
  };
  const press = usePress(s, view, scroller, hover);
  return (
    <div class="flame">
      <div class="scroll" ref={scroller} tabIndex={0} role="tree" aria-label={`Call tree, ${s.inverted.value ? 'leaves first' : 'root first'}. Arrow keys move, Enter zooms, question mark lists the keys.`}
        aria-activedescendant={`node-${s.focus.value}`} onKeyDown={(e) => graphKey(s, view.current!, e)}
        onFocus={() => view.current?.drawOver()} onBlur={() => view.current?.drawOver()} onScroll={() => { pointed.value = null; view.current?.draw(); }}
        onPointerDown={press} onPointerMove={hover} onPointerLeave={leave} onDblClick={() => { if (s.selected.value) detailsWhole.value = true; }}>
        <div class="pin">
          <canvas ref={canvas} aria-hidden="true" />
          <canvas ref={over} class="over" aria-hidden="true" />
          <Mirror s={s} />
        </div>
        <div ref={spacer} />
      </div>
      {s.total.value <= 0 && <div class="none">{s.p.sampleStack.length ? 'No samples in this choice of time and threads.' : 'The profile has no samples.'}</div>}
      <Tip s={s} />
    </div>
  );
}

/* Press and release on one box is a click: zoom and select. Anything further is a drag. */
function usePress(s: State, view: { current: View | null }, scroller: { current: HTMLDivElement | null }, hover: (e: PointerEvent) => void) {
  return (e: PointerEvent) => {
    const el = scroller.current!;
    if (e.button !== 0 || e.offsetX > el.clientWidth) return;
    const v = view.current!;
    const start = v.nodeAt(e);
    let [x, y] = [e.clientX, e.clientY];
    let dragged = false;
    const move = (m: PointerEvent) => {
      if (!dragged && Math.hypot(m.clientX - x, m.clientY - y) < 4) return;
      if (!dragged) el.setPointerCapture(e.pointerId);
      dragged = true;
      pointed.value = null;
      v.pan(x - m.clientX);
      el.scrollTop += y - m.clientY;
      [x, y] = [m.clientX, m.clientY];
    };
    const up = (u: PointerEvent) => {
      el.removeEventListener('pointermove', move);
      el.removeEventListener('pointerup', up);
      el.removeEventListener('pointercancel', up);
      if (dragged || u.type !== 'pointerup' || start < 0 || u.detail > 1) return;
      s.select(s.tree.value.sym[start]);
      s.zoomTo(start);
      hover(u);
    };
    el.addEventListener('pointermove', move);
    el.addEventListener('pointerup', up);
    el.addEventListener('pointercancel', up);
  };
}

/* The nearest box of the same level that has any weight, or the same box. */
function neighbour(s: State, node: number, by: number): number {
  const tree = s.tree.value;
  const { total } = s.weights.value;
  const level = tree.depth[node];
  for (let i = node + by; i >= tree.levelStart[level] && i < tree.levelStart[level + 1]; i += by) if (total[i] > 0) return i;
  return node;
}

function heaviestChild(s: State, node: number, v: View): number {
  const tree = s.tree.value;
  const w = s.weights.value;
  const from = v.from * w.total[0];
  const to = v.to * w.total[0];
  let best = node;
  for (let c = tree.childStart[node]; c < tree.childStart[node + 1]; c++) {
    const inSight = w.x[c] < to && w.x[c] + w.total[c] > from;
    if (inSight && w.total[c] > (best === node ? 0 : w.total[best])) best = c;
  }
  return best;
}

function graphKey(s: State, v: View, e: KeyboardEvent): void {
  if (e.ctrlKey || e.metaKey || e.altKey || helpOpen.value) return;
  const tree = s.tree.value;
  const at = s.focus.value;
  const go = (node: number) => {
    s.focus.value = node;
    s.select(tree.sym[node]);
  };
  const [inward, outward] = s.rootAtTop.value ? ['ArrowDown', 'ArrowUp'] : ['ArrowUp', 'ArrowDown'];
  if (e.shiftKey && (e.key === 'ArrowLeft' || e.key === 'ArrowRight')) v.pan(e.key === 'ArrowLeft' ? -80 : 80);
  else if (e.key === inward) go(heaviestChild(s, at, v));
  else if (e.key === outward) go(tree.parent[at]);
  else if (e.key === 'ArrowLeft') go(neighbour(s, at, -1));
  else if (e.key === 'ArrowRight') go(neighbour(s, at, 1));
  else if (e.key === 'Home') go(0);
  else if (e.key === 'Enter' || e.key === ' ') {
    s.select(tree.sym[at]);
    s.zoomTo(at);
  } else if (e.key === 'Escape') {
    if (detailsWhole.value) detailsWhole.value = false;
    else if (s.zoom.value) s.zoomOut();
    else if (s.query.value) s.setQuery('');
    else v.showZoom(true);
  } else if (e.key === 'c') {
    s.select(tree.sym[at] || s.selected.value);
    detailsWhole.value = !detailsWhole.value;
  } else if (e.key === '+' || e.key === '=') v.zoomAt(v.middle, 0.7);
  else if (e.key === '-') v.zoomAt(v.middle, 1 / 0.7);
  else return;
  e.preventDefault();
  e.stopPropagation();
}

/* The call tree as elements: the way to the box in focus, its neighbours and its callees. Everything
 * else is one arrow key away, so that a million boxes cost nothing. */
function Mirror({ s }: { s: State }) {
  const tree = s.tree.value;
  const w = s.weights.value;
  const at = Math.min(s.focus.value, tree.n - 1);
  const nodes = new Set<number>();
  for (let n = at, steps = 0; ; n = tree.parent[n]) {
    if (steps++ < 64) nodes.add(n);
    if (n === 0) break;
  }
  nodes.add(0);
  for (const from of at ? [tree.parent[at], at] : [0]) {
    const first = from === at ? tree.childStart[from] : Math.max(tree.childStart[from], at - 30);
    for (let c = first; c < Math.min(first + 60, tree.childStart[from + 1]); c++) if (w.total[c] > 0) nodes.add(c);
  }
  const list = [...nodes].sort((a, b) => a - b);
  return (
    <div class="hidden" role="group">
      {list.map((n) => {
        const f = s.p.syms[tree.sym[n]];
        const up = tree.parent[n];
        const children = tree.childStart[n + 1] - tree.childStart[n];
        return (
          <div key={n} id={`node-${n}`} role="treeitem" aria-level={tree.depth[n] + 1} aria-selected={n === at}
            aria-setsize={n ? tree.childStart[up + 1] - tree.childStart[up] : 1} aria-posinset={n ? n - tree.childStart[up] + 1 : 1}
            aria-expanded={children ? n === at || tree.parent[at] === n : undefined}>
            {`${n ? labelOf(f) : 'all'}${n ? `, ${f.kind}` : ''}, total ${percent(w.total[n], w.total[0])}, self ${percent(w.self[n], w.total[0])}`}
          </div>
        );
      })}
    </div>
  );
}

function Tip({ s }: { s: State }) {
  const p = pointed.value;
  const tree = s.tree.value;
  if (!p || p.node >= tree.n) return null;
  const w = s.weights.value;
  const other = s.otherWeights.value;
  const otherType = s.p.valueTypes[s.otherType.value];
  const sym = tree.sym[p.node];
  const f = s.p.syms[sym];
  const whole = w.total[0];
  const zoomed = w.total[s.zoom.value];
  const rows: [string, Float64Array][] = [['Total', w.total], ['Self', w.self]];
  const left = p.x + 14 + 420 > innerWidth ? undefined : p.x + 14;
  return (
    <div class="tip" role="tooltip" style={{
      left: left === undefined ? undefined : `${left}px`, right: left === undefined ? `${Math.max(4, innerWidth - p.x + 10)}px` : undefined,
      top: p.y < innerHeight / 2 ? `${p.y + 18}px` : undefined, bottom: p.y < innerHeight / 2 ? undefined : `${innerHeight - p.y + 12}px`,
    }}>
      <div class="name">{p.node ? f.name.slice(0, 1000) : 'all samples'}</div>
      {p.node !== 0 && (
        <div class="where">
          <bdi>{[f.kind, f.flags & INLINED ? 'inlined' : '', place(f.file, f.startLine) && `${f.file}${f.startLine ? `:${f.startLine}` : ''}`, f.file ? '' : f.module].filter(Boolean).join(' \u00b7 ')}</bdi>
        </div>
      )}
      <table>
        {rows.map(([name, list]) => (
          <tr key={name}>
            <th>{s.inverted.value && name === 'Self' ? 'Ends here' : name}</th>
            <td>{percent(list[p.node], whole)}</td>
            <td>{value(list[p.node], s.unit.value)}</td>
            {other && otherType && <td>{value((name === 'Total' ? other.total : other.self)[p.node], otherType.unit)} {otherType.unit === 'count' ? otherType.type : ''}</td>}
            {s.zoom.value !== 0 && zoomed > 0 && <td>{percent(list[p.node], zoomed)} of zoomed</td>}
          </tr>
        ))}
      </table>
    </div>
  );
}


