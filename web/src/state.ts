/* Everything that the page shows follows from these signals. The address after "#" keeps them. */
import { batch, computed, effect, signal } from '@preact/signals';
import type { Profile } from './data/profile';
import { coloursFor, kindsOf } from './flame/palette';
import { RawStacks, neighbours } from './model/details';
import { INTERNAL } from './data/profile';
import { judge } from './model/quality';
import { compile, search } from './model/search';
import { buildTree } from './model/tree';
import { passing, weigh, weighSyms } from './model/weights';

export type Theme = 'auto' | 'light' | 'dark';
export interface Range {
  from: number; /* units of sampleTime */
  to: number;
}

export function createState(p: Profile) {
  /* ---- what the user chose ---- */
  const rootAtTop = signal(true);
  const inverted = signal(false);
  const showInternal = signal(p.showInternal);
  const byThread = signal(p.byThread);
  const valueType = signal(Math.min(p.defaultValue, Math.max(0, p.valueTypes.length - 1)));
  const range = signal<Range | null>(null);
  const threads = signal<ReadonlySet<number> | null>(null);
  const query = signal('');
  const zoom = signal(0); /* node of the tree on show; 0 is all */
  const focus = signal(0); /* node that the keyboard is on */
  const selected = signal(0); /* function that the details are about; 0 is none */
  const theme = signal<Theme>('auto');
  const panel = signal<'functions' | 'threads'>('functions');
  const match = signal(0); /* which of the search's results is current, from 0; -1 before the first step */
  const reset = signal(0); /* counts requests to show the whole width again */

  /* ---- what follows ---- */
  const values = computed(() => p.sampleValues[valueType.value] ?? null);
  const pass = computed(() =>
    passing(p, { from: range.value?.from ?? -Infinity, to: range.value?.to ?? Infinity, threads: threads.value }),
  );
  const baseTree = computed(() =>
    buildTree(p, { showInternal: showInternal.value, byThread: false, inverted: false, valueType: valueType.value }),
  );
  const baseWeights = computed(() => weigh(baseTree.value, values.value, pass.value));
  const symWeights = computed(() => weighSyms(baseTree.value, baseWeights.value, p.syms.length));
  const isBase = computed(() => !inverted.value && !byThread.value);
  const tree = computed(() =>
    isBase.value
      ? baseTree.value
      : buildTree(p, {
          showInternal: showInternal.value,
          byThread: byThread.value,
          inverted: inverted.value,
          valueType: valueType.value,
        }),
  );
  const weights = computed(() => (isBase.value ? baseWeights.value : weigh(tree.value, values.value, pass.value)));

  /* A second measure beside the chosen one: samples beside time, time beside samples. */
  const otherType = computed(() => {
    const samples = p.valueTypes.findIndex((v) => v.type === 'samples');
    if (samples >= 0 && samples !== valueType.value) return samples;
    return p.valueTypes.findIndex((_, i) => i !== valueType.value);
  });
  const otherWeights = computed(() =>
    otherType.value < 0 ? null : weigh(tree.value, p.sampleValues[otherType.value], pass.value),
  );
  const otherSymWeights = computed(() =>
    otherType.value < 0
      ? null
      : weighSyms(baseTree.value, weigh(baseTree.value, p.sampleValues[otherType.value], pass.value), p.syms.length),
  );

  const matcher = computed(() => compile(query.value));
  const found = computed(() => matcher.value && search(tree.value, weights.value, p.syms, matcher.value));

  const raw = computed(() => new RawStacks(p));
  const rawWeights = computed(() => raw.value.weigh(values.value, pass.value));
  const details = computed(() => {
    const sym = selected.value;
    if (!sym) return null;
    const folded = (stack: number) => !showInternal.value && (p.frameFlags[p.stackFrame[stack]] & INTERNAL) !== 0;
    return {
      sym,
      ...neighbours(baseTree.value, baseWeights.value, sym, p.syms.length),
      lines: raw.value.lines(sym, rawWeights.value, folded),
    };
  });

  /* ---- colours ---- */
  const systemDark = signal(matchMedia('(prefers-color-scheme: dark)').matches);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (e) => (systemDark.value = e.matches));
  const dark = computed(() => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark'));
  const kinds = kindsOf(p);
  const colours = computed(() => coloursFor(kinds.kinds, dark.value));

  /* ---- actions ---- */
  /* Node numbers hold only for one tree: choosing another one starts at its root. */
  const changeTree = (change: () => void) =>
    batch(() => {
      change();
      zoom.value = focus.value = 0;
      match.value = -1;
      reset.value++;
    });
  const zoomTo = (node: number) =>
    batch(() => {
      zoom.value = node;
      focus.value = node;
      reset.value++;
    });
  const select = (sym: number) => (selected.value = sym < p.firstThreadSym ? sym : 0);
  const setQuery = (text: string) =>
    batch(() => {
      query.value = text;
      match.value = -1;
    });
  const step = (by: number) => {
    const nodes = found.value?.nodes;
    if (!nodes?.length) return;
    const at = match.value < 0 ? (by > 0 ? 0 : nodes.length - 1) : (match.value + by + nodes.length) % nodes.length;
    batch(() => {
      match.value = at;
      focus.value = nodes[at];
      select(tree.value.sym[nodes[at]]);
    });
  };
  /* Out to the parent box, from where the keyboard is. */
  const zoomOut = () => zoom.value && zoomTo(tree.value.parent[zoom.value]);

  return {
    p, rootAtTop, inverted, showInternal, byThread, valueType, range, threads, query, zoom, focus, selected, theme,
    panel, match, reset, values, pass, baseTree, baseWeights, symWeights, tree, weights, otherType, otherWeights,
    otherSymWeights, matcher, found, details, dark, kinds, colours, changeTree, zoomTo, select, setQuery, step, zoomOut,
    verdict: judge(p),
    unit: computed(() => p.valueTypes[valueType.value]?.unit ?? 'count'),
    total: computed(() => weights.value.total[0]),
  };
}

export type State = ReturnType<typeof createState>;

/* ---- the address ---- */

function toHash(s: State): string {
  const h = new URLSearchParams();
  if (!s.rootAtTop.value) h.set('view', 'flame');
  if (s.inverted.value) h.set('inverted', '1');
  if (s.showInternal.value !== s.p.showInternal) h.set('internal', s.showInternal.value ? '1' : '0');
  if (s.byThread.value !== s.p.byThread) h.set('bythread', s.byThread.value ? '1' : '0');
  if (s.valueType.value !== s.p.defaultValue) h.set('value', String(s.valueType.value));
  if (s.range.value) h.set('time', `${s.range.value.from}-${s.range.value.to}`);
  if (s.threads.value) h.set('threads', [...s.threads.value].join('.'));
  if (s.query.value) h.set('q', s.query.value);
  if (s.zoom.value) h.set('zoom', String(s.zoom.value));
  if (s.selected.value) h.set('fn', String(s.selected.value));
  if (s.theme.value !== 'auto') h.set('theme', s.theme.value);
  if (s.panel.value !== 'functions') h.set('panel', s.panel.value);
  return h.toString();
}

function fromHash(s: State, text: string): void {
  const h = new URLSearchParams(text.replace(/^#/, ''));
  const number = (key: string, limit: number, otherwise: number) => {
    const v = Number(h.get(key) ?? NaN);
    return Number.isInteger(v) && v >= 0 && v < limit ? v : otherwise;
  };
  const flag = (key: string, otherwise: boolean) => (h.has(key) ? h.get(key) === '1' : otherwise);
  batch(() => {
    s.rootAtTop.value = h.get('view') !== 'flame';
    s.inverted.value = flag('inverted', false);
    s.showInternal.value = flag('internal', s.p.showInternal);
    s.byThread.value = flag('bythread', s.p.byThread);
    s.valueType.value = number('value', s.p.valueTypes.length, s.p.defaultValue);
    const time = /^(\d+)-(\d+)$/.exec(h.get('time') ?? '');
    s.range.value = time && Number(time[1]) < Number(time[2]) ? { from: Number(time[1]), to: Number(time[2]) } : null;
    const ids = h.has('threads') ? h.get('threads')!.split('.').map(Number).filter((t) => s.p.threads[t]) : [];
    s.threads.value = ids.length ? new Set(ids) : null;
    s.query.value = h.get('q') ?? '';
    s.match.value = -1;
    s.theme.value = (['light', 'dark'] as const).find((t) => t === h.get('theme')) ?? 'auto';
    s.panel.value = h.get('panel') === 'threads' ? 'threads' : 'functions';
    s.selected.value = number('fn', s.p.firstThreadSym, 0);
  });
  s.zoomTo(number('zoom', s.tree.value.n, 0));
}

/* Reads the address now and when it changes, and writes it when the state changes. */
export function keepInAddress(s: State): void {
  fromHash(s, location.hash);
  addEventListener('hashchange', () => {
    if (location.hash.replace(/^#/, '') !== toHash(s)) fromHash(s, location.hash);
  });
  let timer = 0;
  effect(() => {
    const h = toHash(s);
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, '', h ? `#${h}` : location.pathname + location.search), 150);
  });
}
